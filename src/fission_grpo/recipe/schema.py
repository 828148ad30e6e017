"""The shape of a recipe. The docstring below a field is its description in `docs/recipes.md`, which is generated from here.

Sections mirror the settings of the layers that consume them (`FissionSettings`, `RewardSettings`, ...) field by field; a
test holds names and defaults together. They stand here, and not there, so that a recipe can be read without those layers.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fission_grpo.launcher import launched_processes
from fission_grpo.recipe.base import (
    Address,
    Bound,
    Fraction,
    NonNegativeInt,
    Pair,
    PositiveInt,
    Section,
    TrainerSettings,
    Weight,
)
from fission_grpo.recipe.methods import METHODS, MethodName
from fission_grpo.recipe.shares import fitting_shares
from fission_grpo.recipe.tasks import TasksSection

OWNED_BY_RECIPE = {
    "output_dir": "the run folder (`--run`)",
    "seed": "`seed`",
    "temperature": "`rollout.temperature`",
    "max_completion_length": "`rollout.max_new_tokens`",
}
"""Fields of TRL's config that the recipe sets itself: two places for one setting would contradict each other."""
DEFAULT_BATCH = {"per_device_train_batch_size": 32, "gradient_accumulation_steps": 4}
"""128 rows: TRL's own default of 8 has no room for a group of each kind."""
_BATCH_KEYS = {*DEFAULT_BATCH, "generation_batch_size", "steps_per_generation"}
TAU2 = "tau2"
"""The environment whose tasks come from its package, and which has a user."""
MODEL_SIMULATORS = ("local", "endpoint")
"""Simulators that need settings of their own (section `simulator`); all others are registered by name."""


class RolloutSection(Section):
    """How messages are sampled and episodes are bounded."""

    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """Sampling temperature in training. The paper used 0.95."""
    max_new_tokens: PositiveInt = 128
    """Longest assistant message, in tokens."""
    max_context_tokens: PositiveInt = 2048
    """Longest context fed to the policy, in tokens. An episode that outgrows it ends; at granularity `step`, instances
    with a longer prompt are left out (`--dry-run` counts them)."""
    steps_per_turn: PositiveInt = 8
    """Assistant messages allowed within one user turn."""


class UserSection(Section):
    """An OpenAI-compatible chat endpoint that plays the user of TAU2-Bench. The key is read from `OPENAI_API_KEY`."""

    base_url: Address
    """Such as `http://localhost:8000/v1`."""
    model: str
    """The model's name there. tau2's published scores are with `gpt-4.1`."""


class RewardSection(Section):
    """The composite reward, `R = (w_fmt * R_fmt + w_corr * R_corr + R_len) / 3` (`docs/method.md`, section 3)."""

    alpha: Fraction = 0.5
    """Weight of the tool names inside R_corr; the arguments weigh `1 - alpha`."""
    schedule_steps: NonNegativeInt = 150
    """Updates over which both weights move."""
    w_fmt: Pair = (2.0, 1.0)
    """Weight of R_fmt at the start and at the end of the schedule."""
    w_corr: Pair = (2.0, 3.0)
    """Weight of R_corr, likewise."""
    delta_corr: Fraction = 1.0
    """A message with R_corr below it is a failure."""
    length_band: Annotated[tuple[Weight, Bound], Field(strict=False)] = (0.5, 1.5)
    """Lengths that score R_len = 1, in multiples of the reference length."""
    length_sigma: Annotated[float, Field(gt=0.0)] = 0.5
    """Gaussian fall-off outside the band, in multiples of the reference length."""
    use_length: bool = True
    """Without it R_len is 1 for every message: the range of R stays, and no advantage is moved."""
    ordered: bool = False
    """The order of the calls in a message counts."""
    episode: Literal["verdict", "turns"] = "verdict"
    """Granularity `episode`: an episode earns 1 if every turn ended right, else 0; or the share of its turns that did.
    Groups without a solved episode have signal only under `turns` and `fission.signal_filter: none`."""

    @model_validator(mode="after")
    def _band_is_an_interval(self) -> Self:
        low, high = self.length_band
        if low > high:
            raise ValueError(f"`reward.length_band` = [{low:g}, {high:g}]: the first value must not exceed the second")
        return self


class FissionSection(Section):
    """Interception, pool, trigger and recovery groups (`docs/method.md`, sections 2 and 6).
    Methods without recovery groups use `signal_filter` alone."""

    recovery_generations: Annotated[int, Field(ge=2)] = 8
    """G', recovery rollouts of one failed context. The paper used 8."""
    recovery_fraction: Fraction = 0.5
    """r, the share of a triggered batch's rows that are recoveries. 1.0 is the paper's separate corrective batch."""
    trigger_interval: PositiveInt = 1
    """Recoveries are trained on steps divisible by it."""
    trigger_size: PositiveInt = 1
    """Contexts that the pool must hold at least; the batch's own need counts anyway."""
    pool_capacity: PositiveInt = 512
    """Contexts kept; beyond it the oldest are dropped."""
    pool_max_age: PositiveInt = 8
    """Updates after which a context is stale and dropped."""
    pool_order: Literal["lifo", "fifo"] = "lifo"
    """`lifo` trains on the newest failures first (the paper); `fifo` is an ablation."""
    recovery_context: Literal["feedback", "shuffled", "attempt", "prompt"] = "feedback"
    """What a recovery sees: x, the failed message and the feedback on it (the paper); the feedback on another failure;
    x and the failed message alone; or x alone, sampled again (replay). All but the first are ablations."""
    simulators: list[str] = Field(default=["environment", "rules", "fixed"], min_length=1)
    """Error simulators in order of preference: each stands in where those before it have nothing to say or leak."""
    unanswered_failures: bool = True
    """Also pool failures that the target benchmark never answers (malformed text, no call at all)."""
    feedback_level: Literal["raw", "kind", "parameter", "full"] = "full"
    """How much a feedback may tell where `escalation` is off. Never the answer, at any level."""
    selection: bool = False
    """Choose the contexts whose group is likeliest to have both successes and failures, by past recovery odds."""
    escalation: bool = False
    """A context whose group had no success comes back with a feedback that tells more."""
    max_attempts: PositiveInt = 3
    """Recovery groups that one context may have under `escalation`."""
    max_context_tokens: PositiveInt = 16_384
    """Bound on the corrective context, in tokens; one that cannot be shortened to it is dropped and counted."""
    refission: bool = False
    """A failed recovery may become a failure of its own (deeper chains). The paper does not."""
    recovery_horizon: Literal["episode", "turn", "message"] = "episode"
    """Granularity `episode`: play a recovery to the end and score it by the final verdict; to the end of the user turn, by
    whether that turn is right; or score its next message alone."""
    signal_filter: Literal["none", "outcome"] = "none"
    """`outcome` zeroes the advantages of groups whose binary outcomes all agree. Holds for every method."""


class LocalSimulatorSection(Section):
    """The simulator `local`: a language model in this process."""

    model: str
    """Folder that `fission simulator train` wrote, or any instruct model (a folder or a name on the hub)."""
    device: str | None = None
    """Where it runs (`cpu`, `cuda:1`); default: where the policy does."""
    max_new_tokens: PositiveInt = 128
    """Longest answer, in tokens."""
    batch_size: PositiveInt = 32
    """Failures diagnosed together."""


class EndpointSimulatorSection(Section):
    """The simulator `endpoint`: an OpenAI-compatible chat endpoint. The key is read from `OPENAI_API_KEY`."""

    base_url: Address
    """Such as `http://localhost:8000/v1`."""
    model: str
    """The model's name there."""
    instruction: Literal["full", "none"] = "full"
    """`none` for a model that `fission simulator train` fine-tuned without the system message."""
    concurrency: PositiveInt = 16
    """Requests under way at a time."""
    timeout: Annotated[float, Field(gt=0.0)] = 60.0
    """Seconds that a question may take, all its tries included."""
    retries: NonNegativeInt = 2
    """Further tries of a request."""
    budget: PositiveInt | None = None
    """Most requests of a run; past them the next simulator answers. None: no bound."""
    max_new_tokens: PositiveInt = 128
    """Longest answer, in tokens."""
    cache: str | None = None
    """File that keeps the answers, keyed by content; several runs may share one. Default: in the run folder."""


class AlignmentSection(Section):
    """The monitor: does the preferred simulator still fit the policy's newest failures? Measured at checkpoints."""

    failures: PositiveInt = 64
    """Newest failures that are diagnosed for a measurement."""
    every: PositiveInt = 10
    """Updates between two measurements, at least; they are taken at checkpoints (`trainer.save_steps`)."""
    warn_below: Fraction = 0.8
    """Share of sound diagnoses (usable, without a leak, of the established kind) below which a warning is given."""


class RefreshSection(Section):
    """Fine-tuning the simulator `local` further, on the policy's recent failures, while the policy trains [ours]."""

    every: NonNegativeInt = 0
    """Updates between two refreshes. 0: only when alignment falls below `simulator.alignment.warn_below`."""
    failures: PositiveInt = 512
    """Recent failures to learn from; a fifth of their scenarios is held out, to measure old and new version on."""
    teacher: Literal["rules", "endpoint"] = "rules"
    """Who writes the target diagnoses: the rules with the environment's words, or `simulator.endpoint`."""
    trainer: TrainerSettings = Field(
        default={"num_train_epochs": 2, "learning_rate": 5e-4, "per_device_train_batch_size": 16}
    )
    """Passed to TRL's `SFTConfig`."""


class SimulatorSection(Section):
    """Error simulators that are language models, and what watches them (`docs/simulator.md`)."""

    local: LocalSimulatorSection | None = None
    """Needed where `fission.simulators` names `local`."""
    endpoint: EndpointSimulatorSection | None = None
    """Needed where `fission.simulators` names `endpoint`, or where it is the teacher of a refresh."""
    corruption: Fraction = 0.0
    """Share of the preferred simulator's diagnoses that are replaced by a wrong one, for ablations."""
    alignment: AlignmentSection = AlignmentSection()
    """The monitor."""
    refresh: RefreshSection | None = None
    """Refreshing `local`; leave out to keep it frozen, as the paper does."""


class LoraSection(Section):
    """Train low-rank adapters instead of all weights (PEFT)."""

    r: PositiveInt = 16
    """Rank."""
    alpha: PositiveInt = 32
    """Scale; the update is multiplied by `alpha / r`."""
    dropout: Fraction = 0.0
    """Dropout inside the adapters. Anything above 0 makes sampling and training disagree."""
    target_modules: str | list[str] = "all-linear"
    """Modules that get adapters."""


class EvaluationSection(Section):
    """Playing the test tasks with the start policy and with the trained one, for the run's report."""

    tasks: NonNegativeInt = 0
    """How many of the test tasks; 0 leaves the evaluation out."""
    samples: PositiveInt = 1
    """Episodes a task."""
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Sampling temperature. The recovery metrics are defined at 1.0: greedy decoding hides recovery."""


class Recipe(Section):
    """One training run."""

    model: str = "bundled"
    """`bundled` (the small policy that comes with the package), a folder in transformers' format, or a name on the hub."""
    seed: NonNegativeInt = 0
    """Seed of everything random in the run."""
    method: MethodName = "fission"
    """What is trained (`docs/methods.md`). `grpo` is the same trainer without recovery groups."""
    granularity: Literal["step", "episode"] = "step"
    """`step`: one row is one message, scored against the reference (the paper). `episode`: one row is a whole task."""
    environment: str = "bfcl"
    """Registered name of the environment that the tasks are played in."""
    user: UserSection | None = None
    """Who plays the user under `environment: tau2`; left out, the scripted user does (`docs/tau.md`)."""
    tasks: TasksSection = TasksSection()
    """Where the tasks come from."""
    rollout: RolloutSection = RolloutSection()
    """How messages are sampled and episodes are bounded."""
    reward: RewardSection = RewardSection()
    """The composite reward."""
    fission: FissionSection = FissionSection()
    """Interception, pool, trigger and recovery groups."""
    simulator: SimulatorSection = SimulatorSection()
    """Error simulators that are language models."""
    lora: LoraSection | None = None
    """Low-rank adapters; leave out to train all weights."""
    evaluation: EvaluationSection = EvaluationSection()
    """Evaluation before and after training."""
    trainer: TrainerSettings = DEFAULT_BATCH
    """Passed to TRL's `GRPOConfig` as it is: learning rate, `max_steps`, `report_to`, ... No batch size: 128 rows."""

    @property
    def generations(self) -> int:
        """G, rollouts of one prompt (`trainer.num_generations`)."""
        return int(self.trainer.get("num_generations", 8))

    @property
    def batch_rows(self) -> int:
        """N, rows of a generation batch over all processes, by the rule of `GRPOConfig`."""
        explicit = self.trainer.get("generation_batch_size")
        if explicit is not None:
            return int(explicit)
        slices = self.trainer.get("steps_per_generation") or self.trainer.get("gradient_accumulation_steps", 1)
        return int(self.trainer.get("per_device_train_batch_size", 8)) * int(slices) * launched_processes()

    @property
    def recovers(self) -> bool:
        """Whether the method has recovery groups."""
        return METHODS[self.method].recovers

    @property
    def recovery_rows(self) -> int:
        """rN, rows of a triggered batch that are recoveries; 0 without recovery groups."""
        return round(self.fission.recovery_fraction * self.batch_rows) if self.recovers else 0

    @field_validator("trainer")
    @classmethod
    def _batch_by_default(cls, trainer: dict[str, Any]) -> dict[str, Any]:
        return trainer if _BATCH_KEYS & trainer.keys() else {**trainer, **DEFAULT_BATCH}

    @model_validator(mode="after")
    def _no_setting_in_two_places(self) -> Self:
        for key, place in OWNED_BY_RECIPE.items():
            if key in self.trainer:
                raise ValueError(f"`trainer.{key}` = {self.trainer[key]!r} must not be set: {place} decides it")
        return self

    @model_validator(mode="after")
    def _tau2_is_played_in_episodes(self) -> Self:
        for name, source in (("train", self.tasks.train), ("test", self.tasks.test)):
            if source.tau2 is not None and self.environment != TAU2:
                raise ValueError(f"`tasks.{name}.tau2` needs `environment: {TAU2}`, and it is {self.environment!r}")
            if source.generate is not None and self.environment == TAU2:
                raise ValueError(
                    f"`tasks.{name}.generate` makes tasks of bfcl; under `environment: {TAU2}` write "
                    f"`tasks.{name}: {{tau2: {{domain: telecom, split: {name}, solo: true}}}}`"
                )
        if self.user is not None and self.environment != TAU2:
            raise ValueError(f"`user` is set, but only `environment: {TAU2}` has one, and it is {self.environment!r}")
        if self.environment == TAU2 and self.granularity != "episode":
            raise ValueError(f"`environment: {TAU2}` is played in whole tasks: write `granularity: episode`")
        return self

    @model_validator(mode="after")
    def _simulators_have_settings(self) -> Self:
        simulators, refresh = self.fission.simulators, self.simulator.refresh
        given = {"local": self.simulator.local is not None, "endpoint": self.simulator.endpoint is not None}
        if refresh is not None and simulators[0] != "local":
            raise ValueError(
                f"`simulator.refresh` fine-tunes `local`, which must stand first in `fission.simulators` = {simulators}"
            )
        used = {*simulators, *(("endpoint",) if refresh is not None and refresh.teacher == "endpoint" else ())}
        for name, example in (("local", "model"), ("endpoint", "base_url")):
            if name in used and not given[name]:
                raise ValueError(f"`simulator.{name}` is missing, which the simulator {name!r} needs (`{example}: ...`)")
            if given[name] and name not in used:
                raise ValueError(f"`simulator.{name}` is set, but `fission.simulators` = {simulators} does not name it")
        return self

    @model_validator(mode="after")
    def _batch_divides_into_groups(self) -> Self:
        for key in ("num_generations", "generation_batch_size", "steps_per_generation"):
            self._check_positive(key)
        self._check_positive("gradient_accumulation_steps")
        self._check_positive("per_device_train_batch_size")
        rows, group = self.batch_rows, self.generations
        if rows % group:
            raise ValueError(
                f"`trainer.num_generations` = {group} does not divide the generation batch of {rows} rows "
                f"(per_device_train_batch_size x gradient_accumulation_steps); {_divisors(rows)} would"
            )
        if self.recovers:
            self._check_recovery_rows(rows, group)
        return self

    @model_validator(mode="after")
    def _test_tasks_can_be_played(self) -> Self:
        own = self.environment != "bfcl" and self.tasks.train.generate is None
        if self.evaluation.tasks and own and self.tasks.test == TasksSection().test:
            raise ValueError(
                f"`evaluation.tasks` = {self.evaluation.tasks} plays `tasks.test`, by default generated tasks of bfcl, and "
                f"`environment` is {self.environment!r}; name a file as `tasks.test`"
            )
        return self

    @model_validator(mode="after")
    def _episodes_have_their_settings(self) -> Self:
        if self.granularity == "episode":
            return self
        for key, value, default in (
            ("reward.episode", self.reward.episode, "verdict"),
            ("fission.recovery_horizon", self.fission.recovery_horizon, "episode"),
        ):
            if value != default:
                raise ValueError(f"`{key}` = {value} is for `granularity: episode`, and it is {self.granularity}")
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> Self:
        method = METHODS[self.method]
        if self.granularity not in method.granularities:
            raise ValueError(
                f"`method` = {self.method} is not defined at `granularity` = {self.granularity}; "
                f"{', '.join(method.granularities)} is allowed"
            )
        if method.needs_all_groups and self.fission.signal_filter != "none":
            raise ValueError(
                f"`fission.signal_filter` = {self.fission.signal_filter} drops the groups that `method` = {self.method} "
                "is made for; `none` is allowed"
            )
        if method.reflects:
            self._check_reflection()
        return self

    def _check_reflection(self) -> None:
        fission = self.fission
        if fission.recovery_generations % 2 or fission.recovery_generations < 4:
            raise ValueError(
                f"`fission.recovery_generations` = {fission.recovery_generations} does not fit `method` = {self.method}, "
                "where each second attempt takes two rows; even numbers from 4 are allowed"
            )
        if fission.recovery_context == "prompt":
            raise ValueError(
                f"`fission.recovery_context` = prompt leaves `method` = {self.method} nothing to reflect on; "
                "feedback, shuffled or attempt is allowed"
            )
        if fission.refission:
            raise ValueError(f"`fission.refission` = true is not defined for `method` = {self.method}; false is allowed")

    def _check_positive(self, key: str) -> None:
        value = self.trainer.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"`trainer.{key}` = {value!r} must be a whole number of at least 1")

    def _check_recovery_rows(self, rows: int, group: int) -> None:
        wanted = self.fission.recovery_fraction * rows
        recovery, siblings = round(wanted), self.fission.recovery_generations
        if abs(wanted - recovery) < 1e-6 and recovery % siblings == 0 and (rows - recovery) % group == 0:
            return
        raise ValueError(
            f"`fission.recovery_fraction` = {self.fission.recovery_fraction:g} of {rows} rows gives {wanted:g} recoveries, "
            f"which must be a multiple of `fission.recovery_generations` = {siblings} and leave a multiple of "
            f"`trainer.num_generations` = {group}; "
            f"{fitting_shares(self.fission.recovery_fraction, rows, group, siblings)}"
        )


def _divisors(rows: int) -> str:
    return ", ".join(str(n) for n in range(2, rows + 1) if rows % n == 0) or "no number"
