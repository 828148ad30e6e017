"""Reads a recipe file, applies `a.b=c` overrides, and turns every mistake into one sentence."""

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from fission_grpo.errors import UserError
from fission_grpo.recipe.comparison import ComparisonRecipe
from fission_grpo.recipe.describe import allowed_keys, has_free_keys
from fission_grpo.recipe.schema import MODEL_SIMULATORS, Recipe
from fission_grpo.recipe.simulator import SimulatorRecipe

Checked = TypeVar("Checked", bound=BaseModel)
MOST_VALUES = 100_000
"""Of a recipe."""


def load_recipe(path: Path | str, overrides: Sequence[str] = (), trainer_fields: Mapping[str, Any] | None = None) -> Recipe:
    """Reads a recipe.

    Args:
        path: YAML file.
        overrides: `key.sub=value` settings that win over the file; values are YAML (`trainer.max_steps=3`, `lora=null`).
        trainer_fields: names that `trainer` may hold, and the types of their values (the fields of TRL's config), where the
            caller knows them.

    Raises:
        UserError: the file is missing or no YAML, a key is unknown, a value is of the wrong type or out of range, or
            settings contradict each other. One sentence with the key, the value found and what would be right.
    """
    return check_recipe(read_settings(Path(path), overrides), f"recipe {path}", trainer_fields)


def kept_recipe(settings: dict[str, Any], source: str) -> Recipe:
    """A recipe that was kept to be looked at: what its environment was registered by need not be installed.

    Args:
        source: opens the sentence of the error.

    Raises:
        UserError: it is no recipe.
    """
    return _validated(Recipe, settings, source)


def load_simulator_recipe(
    path: Path | str, overrides: Sequence[str] = (), trainer_fields: Mapping[str, Any] | None = None
) -> SimulatorRecipe:
    """Reads a simulator recipe. Arguments and errors as in `load_recipe`."""
    return check_simulator_recipe(read_settings(Path(path), overrides), f"recipe {path}", trainer_fields)


def check_simulator_recipe(
    settings: dict[str, Any], source: str = "recipe", trainer_fields: Mapping[str, Any] | None = None
) -> SimulatorRecipe:
    """Validates the settings of a simulator recipe. As `check_recipe`."""
    recipe = _validated(SimulatorRecipe, settings, source)
    _check_trainer(SimulatorRecipe, recipe.trainer, trainer_fields, source)
    return recipe


def check_recipe(
    settings: dict[str, Any], source: str = "recipe", trainer_fields: Mapping[str, Any] | None = None
) -> Recipe:
    """Validates settings that were read already; `source` opens the sentence of the error. See `load_recipe`."""
    recipe = _validated(Recipe, settings, source)
    _check_registered(source, "environment", recipe.environment, "fission_grpo.environments")
    for name in recipe.fission.simulators:
        _check_registered(source, "fission.simulators", name, "fission_grpo.simulators", MODEL_SIMULATORS)
    _check_trainer(Recipe, recipe.trainer, trainer_fields, source)
    return recipe


def dump_recipe(recipe: Recipe | SimulatorRecipe) -> str:
    """The recipe as YAML with every default written out, as a run folder keeps it; `load_recipe` reads it back."""
    return yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def check_comparison_recipe(settings: dict[str, Any], source: str) -> ComparisonRecipe:
    """Validates the settings of a comparison recipe; its arms are checked where they are resolved. As `check_recipe`."""
    return _validated(ComparisonRecipe, settings, source)


def read_settings(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a recipe file as they stand there, and those that win over them.

    Raises:
        UserError: the file is missing or no YAML.
    """
    if not path.is_file():
        raise UserError(f"recipe {path}: no such file{_suggest_file(path)}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"recipe {path}: not text in UTF-8") from error
    parsed = _parse(text, f"recipe {path}")
    if parsed is not None and not isinstance(parsed, dict):
        raise UserError(f"recipe {path}: expected `key: value` lines, found {parsed!r}")
    settings = cast(dict[str, Any], parsed or {})
    for override in overrides:
        _apply(settings, override)
    return settings


def _validated(model: type[Checked], settings: dict[str, Any], source: str) -> Checked:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        errors = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")  # a typo explains a missing key
        raise UserError(f"{source}: {_sentence(errors[0], model)}") from error


def _check_trainer(
    model: type[BaseModel], trainer: Mapping[str, Any], allowed: Mapping[str, Any] | None, source: str
) -> None:
    if allowed is None:
        return
    for key, value in trainer.items():
        if key not in allowed:
            raise UserError(f"{source}: {_unknown(f'trainer.{key}', value, allowed, model)}")
        try:
            TypeAdapter(allowed[key], config=_OF_DATACLASS).validate_python(value, strict=True)
        except ValidationError as error:
            wanted = [each for each in error.errors() if each["type"] != "is_instance_of"]  # an enum, beside its text
            expected = " or ".join(dict.fromkeys(map(_expected, wanted or error.errors())))
            bare = "; YAML reads a bare `no` as false: quote it" if value is False and "text" in expected else ""
            raise UserError(f"{source}: `trainer.{key}` = {value!r}: should be {expected}{bare}") from error


_OF_DATACLASS = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with three surprises removed: `3e-4` is a number, and a key that stands twice is an error.

    So is a file whose aliases (`*name`) write out to more than `MOST_VALUES`: what reads it on would take all memory.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        _written_out(node, {})
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"the key `{twice}` stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _written_out(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node comes to once every alias is replaced by what it stands for.

    Raises:
        MarkedYAMLError: too many, or, where a node holds itself, endlessly many.
    """
    if node not in known:
        known[node] = MOST_VALUES  # while it is open; a node that holds itself meets this
        parts: list[Any] = []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        known[node] = 1 + sum(_written_out(part, known) for part in parts)
    if known[node] > MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"it comes to more than {MOST_VALUES} values", problem_mark=node.start_mark)
    return known[node]


_EXPONENT = re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))  # pyright: ignore[reportUnknownMemberType]


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise UserError(f"{source}{line}: not readable as YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not readable as YAML: {error}") from error
    except RecursionError:
        raise UserError(f"{source}: not readable as YAML: it is nested too deeply") from None


def _apply(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError(f"override {override!r}: write it as `key=value`, e.g. `trainer.max_steps=3`")
    for depth, part in enumerate(parts[:-1], start=1):
        inner = settings.get(part)
        if inner is None:
            inner = settings[part] = {}
        if not isinstance(inner, dict):
            raise UserError(f"override {override!r}: `{'.'.join(parts[:depth])}` is {inner!r}, which holds no further keys")
        settings = cast(dict[str, Any], inner)
    settings[parts[-1]] = _parse(text, f"override {override!r}")


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    loc = [str(part) for part in error["loc"]]
    key, value = ".".join(loc), error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(key, value, allowed_keys(loc[:-1], model), model)
    if error["type"] == "value_error":
        message = str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
        return f"`{key}`: {message}" if key else message
    if error["type"] == "missing":
        return f"`{key}` is missing"
    return f"`{key}` = {value!r}: should be {_expected(error)}"


def _expected(error: ErrorDetails) -> str:
    return _EXPECTED.get(error["type"]) or error["msg"].removeprefix("Input should be ")


_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "too_short": "a list with at least one entry",
    "dict_type": "a section of `key: value` lines",
    "model_type": "a section of `key: value` lines",
}
"""What a user would say, by pydantic's error type; pydantic's own words stand in for the rest."""


@cache  # reads the metadata of every package installed
def _registered(group: str) -> tuple[str, ...]:
    return tuple(sorted(point.name for point in entry_points(group=group)))


def _check_registered(source: str, key: str, name: str, group: str, others: Sequence[str] = ()) -> None:
    known = sorted({*_registered(group), *others})
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        listed = f"registered are {', '.join(known) or 'none'}; an entry point of the group `{group}` adds one"
        hint = f"did you mean `{near[0]}`?" if near else f"{listed} (docs/own-tools.md)"
        raise UserError(f"{source}: `{key}` = {name!r} is not registered; {hint}")


def _unknown(key: str, value: Any, allowed: Collection[str], model: type[BaseModel]) -> str:
    *section, name = key.split(".")
    prefix = "".join(f"{part}." for part in section)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    if ":" in key:
        hint = "YAML wants a space after the colon"
    elif key == "trainer.max_prompt_length":  # of earlier versions of TRL
        hint = "`rollout.max_context_tokens` bounds what is fed to the policy"
    elif near:
        hint = f"did you mean `{prefix}{near[0]}`?"
    elif has_free_keys(section, model):
        hint = f"TRL's {'GRPOConfig' if model is Recipe else 'SFTConfig'} has no such field"
    else:
        hint = f"`{'.'.join(section) or 'a recipe'}` knows {', '.join(sorted(allowed))}"
    return f"unknown key `{key}` (value {value!r}); {hint}"


def _suggest_file(path: Path) -> str:
    folder = path.parent
    names = [file.name for file in sorted(folder.glob("*.yaml"))] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {folder / near[0]}?" if near else ""
