"""The shape of a simulator recipe: fine-tuning a language model as the Error Simulator (`fission simulator train`)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fission_grpo.recipe.base import NonNegativeInt, PositiveInt, Section, TrainerSettings
from fission_grpo.recipe.schema import LoraSection

OWNED_BY_SIMULATOR_RECIPE = {
    "output_dir": "the simulator's folder (`--out`)",
    "seed": "`seed`",
    "completion_only_loss": "the data, whose prompts are never trained on",
}
"""Fields of TRL's config that the recipe sets itself."""


class SimulatorRecipe(Section):
    """Fine-tuning one simulator."""

    model: str = "bundled"
    """`bundled`, a folder in transformers' format (a simulator too: it is trained further), or a name on the hub."""
    data: str
    """Folder that `fission simulator collect` wrote."""
    seed: NonNegativeInt = 0
    """Seed of everything random in the training."""
    instruction: Literal["full", "none"] = "full"
    """`none` leaves out the system message: a small model learns the task from the examples, and reads less."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the training scenarios that is used, for ablations; a smaller share is part of a larger one."""
    lora: LoraSection | None = None
    """Low-rank adapters; leave out to train all weights."""
    patience: PositiveInt = 2
    """Evaluations without a better validation loss after which training ends. The best weights are kept."""
    trainer: TrainerSettings = Field(default_factory=dict)
    """Passed to TRL's `SFTConfig` as it is: learning rate, `num_train_epochs`, batch sizes, `max_length`, ..."""

    @model_validator(mode="after")
    def _no_setting_in_two_places(self) -> Self:
        for key, place in OWNED_BY_SIMULATOR_RECIPE.items():
            if key in self.trainer:
                raise ValueError(f"`trainer.{key}` = {self.trainer[key]!r} must not be set: {place} decides it")
        return self
