"""What all sections of recipes are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0.0)]
Pair = Annotated[tuple[Weight, Weight], Field(strict=False)]
"""Two numbers; YAML writes them as a list."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and `"8"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
