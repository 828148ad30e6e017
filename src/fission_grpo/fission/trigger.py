"""When recoveries are trained, and how many groups of them."""

from fission_grpo.fission.settings import FissionSettings


def recovery_groups(settings: FissionSettings, batch_rows: int) -> int:
    """Groups of G' recoveries in a triggered batch of `batch_rows` rows over all ranks: `r * N / G'`.

    >>> recovery_groups(FissionSettings(recovery_fraction=0.5, recovery_generations=8), 128)
    8
    """
    return round(settings.recovery_fraction * batch_rows) // settings.recovery_generations


def triggers(settings: FissionSettings, step: int, pool_size: int, batch_rows: int) -> bool:
    """Whether step `step` trains recoveries: on the interval, and only with enough unique contexts (else it is skipped).

    >>> triggers(FissionSettings(trigger_interval=2, trigger_size=4), step=2, pool_size=8, batch_rows=128)
    True
    >>> triggers(FissionSettings(trigger_interval=2, trigger_size=4), step=3, pool_size=8, batch_rows=128)
    False
    """
    groups = recovery_groups(settings, batch_rows)
    return groups > 0 and step % settings.trigger_interval == 0 and pool_size >= max(settings.trigger_size, groups)
