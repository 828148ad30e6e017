"""The section `fission` of the configuration, and what of verl's own settings it needs to be otherwise than by default."""

from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from fission_grpo.errors import UserError
from fission_grpo.fission import FissionSettings, PoolOrder, RecoveryContext
from fission_grpo.fission.trigger import recovery_groups
from fission_grpo.recipe.schema import MODEL_SIMULATORS, EndpointSimulatorSection, FissionSection
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.simulators.chain import FallbackChain
from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator
from fission_grpo.simulators.prompt import INSTRUCTION
from fission_grpo.simulators.registry import make_simulator
from fission_grpo.types import FeedbackLevel


def read_section(config: DictConfig) -> tuple[FissionSettings, FallbackChain]:
    """Settings of the engine, and its simulators, from `config.fission`.

    Raises:
        UserError: a key or value that is not allowed.
    """
    values: Any = OmegaConf.to_container(config.fission, resolve=True)
    endpoint = values.pop("endpoint", None)
    try:
        section = FissionSection.model_validate(values)
        options = None if endpoint is None else EndpointSimulatorSection.model_validate(endpoint)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"fission.{'.'.join(map(str, first['loc']))}: {first['input']!r} found, {first['msg']}") from error
    _refuse_unsupported(section)
    settings = FissionSettings(
        **section.model_dump(include=set(FissionSettings.__dataclass_fields__) - {"pool_order", "recovery_context"})
        | {"feedback_level": FeedbackLevel[section.feedback_level.upper()]},
        pool_order=PoolOrder(section.pool_order),
        recovery_context=RecoveryContext(section.recovery_context),
    )
    return settings, FallbackChain([_simulator(name, options) for name in section.simulators])


def check_batch(config: DictConfig, settings: FissionSettings) -> None:
    """Recoveries must be whole groups, must displace whole prompts, and need verl's synchronous, unfiltered sampling.

    Raises:
        UserError: names setting, value found and value allowed.
    """
    rollout, data = config.actor_rollout_ref.rollout, config.data
    rows = data.train_batch_size * rollout.n
    recovery = round(settings.recovery_fraction * rows)
    if recovery % settings.recovery_generations or recovery % rollout.n:
        raise UserError(
            f"fission.recovery_fraction: {settings.recovery_fraction} of {rows} rows is {recovery}, which must be "
            f"a multiple of fission.recovery_generations ({settings.recovery_generations}) and of "
            f"actor_rollout_ref.rollout.n ({rollout.n})"
        )
    if settings.max_context_tokens > rollout.prompt_length:
        raise UserError(
            f"fission.max_context_tokens: {settings.max_context_tokens} found, at most "
            f"actor_rollout_ref.rollout.prompt_length ({rollout.prompt_length}) is allowed"
        )
    _expect(data.get("gen_batch_size"), 1, "data.gen_batch_size", "a batch has room for any number of prompts")
    _expect(config.algorithm.adv_estimator, "grpo", "algorithm.adv_estimator", "groups differ in size")
    _expect(config.algorithm.filter_groups.enable, False, "algorithm.filter_groups.enable", "a refill would be no recovery")


def displaced_prompts(settings: FissionSettings, rows: int, group_size: int) -> int:
    """Prompts of G rollouts that make room for the recovery groups of a triggered batch of N rows.

    >>> displaced_prompts(FissionSettings(recovery_fraction=0.5, recovery_generations=8), rows=128, group_size=4)
    16
    """
    return recovery_groups(settings, rows) * settings.recovery_generations // group_size


def _simulator(name: str, endpoint: EndpointSimulatorSection | None) -> Simulator:
    if name != "endpoint":
        return make_simulator(name)
    if endpoint is None:
        raise UserError("fission.endpoint: not set; fission.simulators names `endpoint`, which needs base_url and model")
    instruction = INSTRUCTION if endpoint.instruction == "full" else ""
    options = EndpointOptions(**endpoint.model_dump(exclude={"cache", "instruction"}), instruction=instruction)
    return EndpointSimulator(options, ReplyCache(endpoint.cache or "simulator_cache.jsonl"))


def _refuse_unsupported(section: FissionSection) -> None:
    """What `fission train` can do and this recipe cannot."""
    local = [name for name in section.simulators if name in MODEL_SIMULATORS and name != "endpoint"]
    if local:
        raise UserError(f"fission.simulators: {local[0]!r} found, allowed here: registered simulators and 'endpoint'")
    _expect(section.signal_filter, "none", "fission.signal_filter", "not built for verl")
    _expect(section.recovery_horizon, "episode", "fission.recovery_horizon", "a setting of episodes, not played here")


def _expect(found: object, allowed: object, name: str, reason: str) -> None:
    if found != allowed:
        raise UserError(f"{name}: {found!r} found, {allowed!r} is allowed: {reason}")
