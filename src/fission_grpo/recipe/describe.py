"""What keys a recipe has, read off its schema: for error messages and for `docs/recipes.md`."""

from collections.abc import Iterable, Iterator, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fission_grpo.recipe.base import Section
from fission_grpo.recipe.comparison import ComparisonRecipe
from fission_grpo.recipe.schema import Recipe
from fission_grpo.recipe.simulator import SimulatorRecipe
from fission_grpo.recipe.tasks import TaskSource


def allowed_keys(section: Sequence[str], root: type[BaseModel] = Recipe) -> list[str]:
    """The keys that stand below a section, given by its path (`[]` is the top); empty for one without keys of its own."""
    model = _section(section, root)
    return [] if model is None else list(model.model_fields)


def has_free_keys(section: Sequence[str], root: type[BaseModel] = Recipe) -> bool:
    """Whether the section takes any keys, as `trainer` does."""
    return _section(section, root) is None


def render_reference() -> str:
    """`docs/recipes.md`: every key with its type, default and meaning."""
    lines = [_HEADER, *_tables(Recipe, ""), _SIMULATOR_HEADER, *_tables(SimulatorRecipe, "")]
    lines += [_COMPARISON_HEADER, *_tables(ComparisonRecipe, "")]
    return "\n".join(lines).rstrip() + "\n"


_HEADER = """\
# Recipes

A recipe is a YAML file. `fission train RECIPE key.sub=value ...` runs it; settings on the command line win over the file.
Every key has a default. An unknown key, a wrong type or an impossible combination is an error before any model is loaded.
The run folder keeps the recipe as resolved, so that a run can be repeated from it.

This page is generated from `src/fission_grpo/recipe/` by `make docs`.
"""


_SIMULATOR_HEADER = """\
# Simulator recipes

`fission simulator train RECIPE key.sub=value ...` fine-tunes an Error Simulator (`docs/simulator.md`).
"""


_COMPARISON_HEADER = """\
# Comparison recipes

`fission compare RECIPE --seeds N` trains and evaluates every arm under one budget (`docs/compare.md`).
"""


def _section(path: Sequence[str], root: type[BaseModel]) -> type[BaseModel] | None:
    model = root
    parts = iter(path)
    for part in parts:
        field = model.model_fields.get(part)
        inner = None if field is None else _inner_section(field)
        if inner is None:
            return None
        model = inner
        if field is not None and _is_named(field):
            next(parts, None)  # the user's own name
    return model


def _is_named(field: FieldInfo) -> bool:
    """Whether a field holds sections by names of the user's choice."""
    return get_origin(field.annotation) is dict


def _inner_section(field: FieldInfo) -> type[Section] | None:
    candidates: list[object] = [field.annotation, *get_args(field.annotation)]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Section)), None)


def _tables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    title = f"`{prefix.rstrip('.')}`" if prefix else "Top level"
    yield f"## {title}\n"
    yield f"{(model.__doc__ or '').strip()}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    inner: list[tuple[type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        section = _inner_section(field)
        yield f"| `{prefix}{name}` | {_type(field)} | {_default(field, section)} | {_cell(field.description or '')} |"
        if section is not None and section is not TaskSource:
            inner.append((section, f"{prefix}{name}.{'*.' if _is_named(field) else ''}"))
    yield ""
    if model is not Recipe and prefix == "tasks.":
        yield from _tables(TaskSource, "tasks.*.")
    for section, below in inner:
        yield from _tables(section, below)


def _type(field: FieldInfo) -> str:
    return _cell(_type_name(field.annotation))


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is NoneType:
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, TaskSource):
        return "path, `{generate: ...}` or `{tau2: ...}`"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is list:
        return f"list of {_type_name(args[0])}"
    if origin is tuple:
        return f"{len(args)} numbers"
    if origin is dict:
        return "mapping"
    if origin is Annotated:
        return _type_name(args[0])
    if args:
        return " or ".join(_type_name(arg) for arg in args)
    return _TYPE_NAMES[annotation]


_TYPE_NAMES: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true/false"}


def _default(field: FieldInfo, section: type[Section] | None) -> str:
    default: object = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "required"
    if isinstance(default, TaskSource) and default.generate is not None:
        made = default.generate
        return f"`{{generate: {{count: {made.count}, seed: {made.seed}, mix: {made.mix}}}}}`"
    if default == {}:
        return "empty"
    if section is not None and default is not None:
        return "see below"
    if default is None:
        return "none"
    if isinstance(default, dict):
        entries = cast(dict[str, object], default).items()
        return f"`{{{', '.join(f'{key}: {value}' for key, value in entries)}}}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, (list, tuple)):
        return f"`[{', '.join(str(item) for item in cast(Iterable[object], default))}]`"
    return f"`{default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
