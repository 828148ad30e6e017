"""What all sections of recipes are made of."""

from typing import Annotated, Any

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field

from fission_grpo.credentials import address_fault

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0.0)]
Bound = Annotated[float, Field(ge=0.0), AllowInfNan()]
"""A number that may be `.inf`: no bound."""
Pair = Annotated[tuple[Weight, Weight], Field(strict=False)]
"""Two numbers; YAML writes them as a list."""


def _address(address: str) -> str:
    if fault := address_fault(address):
        raise ValueError(fault)
    return address


def _trainer(settings: dict[str, Any]) -> dict[str, Any]:
    if settings.get("hub_token"):
        raise ValueError("hub_token is a secret, which would stand in run folders; set the environment variable HF_TOKEN")
    if fault := address_fault(str(settings.get("vllm_server_base_url") or "")):
        raise ValueError(f"vllm_server_base_url {fault}")
    return settings


Address = Annotated[str, AfterValidator(_address)]
"""Of an endpoint, without secrets: recipes are copied into run folders."""
TrainerSettings = Annotated[dict[str, Any], AfterValidator(_trainer)]
"""Of TRL's config, without secrets."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and `"8"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
