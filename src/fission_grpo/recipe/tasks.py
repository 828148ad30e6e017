"""Where the tasks of a recipe come from."""

from typing import Any, Literal, Self

from pydantic import model_validator

from fission_grpo.recipe.base import NonNegativeInt, PositiveInt, Section


class GeneratedTasks(Section):
    """Tasks made by the generator (`fission tasks generate`) when the run starts."""

    count: PositiveInt
    """Number of tasks."""
    seed: NonNegativeInt = 0
    """Seed of the generator. Scenarios of different splits never overlap, whatever the seeds."""
    mix: Literal["compact", "benchmark"] = "benchmark"
    """`compact`: what the bundled policy can play. `benchmark`: the shape of BFCL's multi-turn tasks (`docs/tasks.md`)."""


class Tau2Tasks(Section):
    """Tasks of TAU2-Bench, from its package (`docs/tau.md`)."""

    domain: Literal["retail", "airline", "telecom"]
    """The domain."""
    split: Literal["base", "train", "test"]
    """`train` and `test` are the two parts of the benchmark, which is `base`. What is trained on must be `train`."""
    solo: bool = False
    """Without a user, from a ticket; `telecom` alone."""

    @model_validator(mode="after")
    def _telecom_alone_is_solo(self) -> Self:
        if self.solo and self.domain != "telecom":
            raise ValueError(f"`solo` = true is not defined for `domain` = {self.domain}; telecom is allowed")
        return self


class TaskSource(Section):
    """Where tasks come from: a path, `{generate: {count, seed, mix}}` or `{tau2: {domain, split, solo}}`. Exactly one."""

    path: str | None = None
    """A task file (JSONL, `docs/tasks.md`), relative to the working directory. A bare string means this."""
    generate: GeneratedTasks | None = None
    """Generate the tasks instead."""
    tau2: Tau2Tasks | None = None
    """TAU2-Bench's instead."""

    @model_validator(mode="before")
    @classmethod
    def _bare_string_is_a_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.path, self.generate, self.tau2].count(None) != 2:
            raise ValueError(
                "give one of a path, `{generate: {count: ..., seed: ...}}` and `{tau2: {domain: ..., split: ...}}`"
            )
        return self


class TasksSection(Section):
    """The tasks trained on, and the tasks held out."""

    train: TaskSource = TaskSource(generate=GeneratedTasks(count=2000, mix="compact"))
    """Tasks to explore."""
    test: TaskSource = TaskSource(generate=GeneratedTasks(count=600, mix="compact"))
    """Held-out tasks for the evaluation; nothing is ever trained on them."""

    @model_validator(mode="after")
    def _parts_of_tau2_are_apart(self) -> Self:
        train, test = self.train.tau2, self.test.tau2
        if train is not None and train.split != "train":
            raise ValueError(f"`tasks.train.tau2.split` = {train.split}: only `train` may be trained on")
        if train is not None and test is not None and train.domain == test.domain and test.split != "test":
            raise ValueError(f"`tasks.test.tau2.split` = {test.split} holds tasks that are trained on; `test` does not")
        return self
