"""The shape of a comparison recipe: several arms under one budget (`fission compare`)."""

import re
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import Field, field_validator, model_validator

from fission_grpo.recipe.base import PositiveInt, Section
from fission_grpo.recipe.schema import UserSection
from fission_grpo.recipe.tasks import TaskSource

ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ALLOWED_NAMES = "a name has letters, digits, `.`, `_` and `-`, and starts with a letter or digit"
START = "start"
"""Name of the policy that all arms start from, beside theirs."""
Granularity = Literal["step", "episode"]


class OtherBenchmark(Section):
    """Further tasks that every policy plays, of any environment: does what was learned carry over to them?"""

    tasks: TaskSource
    """Where they come from, as `tasks.test`."""
    limit: PositiveInt | None = None
    """Only so many, the first."""
    samples: PositiveInt = 1
    """Episodes a task."""
    user: UserSection | None = None
    """Who plays the user of TAU2-Bench; left out, the scripted user does."""
    steps_per_turn: PositiveInt | None = None
    """As in `rollout`, whose value is the default, as it is for the next two."""
    max_new_tokens: PositiveInt | None = None
    """Longest message, in tokens."""
    max_context_tokens: PositiveInt | None = None
    """Longest context, in tokens. Prompts of TAU2-Bench are long: `fission train --dry-run` measures them."""


class ComparisonEvaluation(Section):
    """Playing the held-out tasks with every trained policy, and with the one that all start from."""

    tasks: PositiveInt = 600
    """How many of the recipe's test tasks."""
    samples: PositiveInt = 4
    """Episodes a task."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Sampling temperature, of the probe set too. The recovery metrics are defined at 1.0."""
    also: dict[str, OtherBenchmark] = Field(default_factory=dict[str, OtherBenchmark])
    """By a name of your choice, benchmarks that nothing is trained on (`docs/compare.md`)."""

    @field_validator("also")
    @classmethod
    def _names_are_files(cls, also: dict[str, OtherBenchmark]) -> dict[str, OtherBenchmark]:
        for name in also:
            if not ARM_NAME.fullmatch(name):
                raise ValueError(f"{name!r}: {_ALLOWED_NAMES}")
        return also


class ProbeSection(Section):
    """Error contexts that every policy continues from, so that all share one denominator (`docs/method.md`, section 7)."""

    path: str | None = None
    """A probe file, relative to the working directory. Without one the set is made once: half the start policy's own
    failures, half injected, on generated tasks that are neither trained on nor tested; or on those of a test file."""
    contexts: PositiveInt | None = None
    """How many; default: all of the file, or 500 of one's own making."""
    samples: PositiveInt = 4
    """Continuations a context."""


class ComparisonRecipe(Section):
    """Several arms, each a training recipe that differs from the others in what is compared."""

    base: str | None = None
    """A training recipe, relative to this file. Without one the arms start from the defaults."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of all arms, nested as in a recipe; they win over the base."""
    budget: PositiveInt = 500_000
    """Tokens processed by a run (`docs/method.md`, section 8.2). Every run ends at its first update past it."""
    baseline: str | dict[Granularity, str] | None = None
    """The arm that differences are taken from, or one a granularity. Default: the arm with `method: grpo`."""
    evaluation: ComparisonEvaluation = ComparisonEvaluation()
    """Playing the held-out tasks."""
    probe: ProbeSection = ProbeSection()
    """Continuing the probe set."""
    arms: dict[str, dict[str, Any]]
    """By name, the settings of each arm; they win over `settings`."""

    @field_validator("baseline", mode="before")
    @classmethod
    def _name_or_names(cls, value: Any) -> Any:
        names = list(cast(dict[object, object], value).values()) if isinstance(value, dict) else [value]
        known = not isinstance(value, dict) or set(cast(dict[object, object], value)) <= set(get_args(Granularity))
        if value is None or (known and all(isinstance(name, str) for name in names)):
            return value
        raise ValueError(f"{value!r} found; write the name of an arm, or `{{step: NAME, episode: NAME}}`")

    @model_validator(mode="after")
    def _names_are_folders(self) -> Self:
        if not self.arms:
            raise ValueError("`arms` is empty; name two arms at least, such as `grpo: {method: grpo}`")
        for name in self.arms:
            check_arm_name(name)
        return self

    @model_validator(mode="after")
    def _baselines_are_arms(self) -> Self:
        named = self.baseline.values() if isinstance(self.baseline, dict) else [self.baseline] if self.baseline else []
        for name in named:
            if name not in self.arms:
                raise ValueError(f"`baseline` = {name!r} is no arm; the arms are {', '.join(self.arms)}")
        return self


def check_arm_name(name: str) -> None:
    """Raises ValueError where a name cannot be that of an arm: its runs' folders are named after it."""
    if not ARM_NAME.fullmatch(name):
        raise ValueError(f"arm {name!r}: {_ALLOWED_NAMES}")
    if name == START:
        raise ValueError(f"arm {name!r}: that is the name of the policy that all arms start from; take another")
