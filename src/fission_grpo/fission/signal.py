"""The signal filter: groups whose outcomes agree have nothing to teach.

Decided on the binary outcome, never on the shaped reward: under a shaped reward an all-failed group has non-zero variance,
and that "phantom gradient" is known to have destroyed a policy within 40 steps
(https://github.com/verl-project/verl-recipe/issues/125).
"""

from collections.abc import Sequence

from fission_grpo.fission.settings import SignalFilter


def has_signal(outcomes: Sequence[bool], signal_filter: SignalFilter) -> bool:
    """Whether a group may move the policy.

    >>> has_signal([False, False], SignalFilter.OUTCOME), has_signal([True, False], SignalFilter.OUTCOME)
    (False, True)
    >>> has_signal([False, False], SignalFilter.NONE)
    True
    """
    return signal_filter is SignalFilter.NONE or any(outcomes) != all(outcomes)
