"""The benchmark mix: tasks in the shape of BFCL's, each composed of the drafts of several families.

One or two API classes with all their tools, two to five messages of the user (and the extra one of `miss_func` and
`miss_param`), and the benchmark's four categories.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from fission_grpo.errors import UserError
from fission_grpo.tasks.catalogue import DOCUMENTATION
from fission_grpo.tasks.categories import Category, Line, Script, with_category
from fission_grpo.tasks.contamination import Contamination
from fission_grpo.tasks.draft import DraftTurn, Family, Scene, Slot
from fission_grpo.tasks.empty_turns import prove_empty_turns, values_are_open
from fission_grpo.tasks.parts import Part, draw_parts
from fission_grpo.tasks.proof import Coincidence, Playable, prove, prove_mirror
from fission_grpo.tasks.task import Careless, Task, Turn
from fission_grpo.tasks.wording import aside, following, joined, opening
from fission_grpo.tasks.worlds import merge

ONE_CLASS = 0.35
"""How many tasks have one API class; the others have two. (In the benchmark: 65 of 200.)"""
MESSAGES = {2: 0.2, 3: 0.3, 4: 0.3, 5: 0.2}
"""How many messages the user writes, the extra one of a category not counted, and how often."""
JOINED = {0: 0.35, 1: 0.4, 2: 0.25}
"""How many neighbouring requests share a message, and how often."""
LONG_CLASSES = frozenset({"GorillaFileSystem", "TradingBot", "TravelAPI", "VehicleControlAPI"})
"""The classes that bfcl-eval's long-context flag changes anything in."""
MAX_ATTEMPTS = 200


def make_composite(slot: Slot, families: Sequence[Family], environment: Playable, contamination: Contamination) -> Task:
    """The first attempt that has a place for its category, needs all its calls, and shares nothing with what exists.

    Raises:
        UserError: there is no such attempt.
        Disproof: a task does not hold what else it promises.
    """
    key = f"benchmark:{slot.seed}:{slot.split}:{slot.index}"
    category = Random(key).choice(tuple(Category))
    for attempt in range(MAX_ATTEMPTS):
        drawn = _draw(Random(f"{key}:{attempt}"), slot, families, category)
        if drawn is None or any(contamination.shared(each) or contamination.repeated_calls(each) for each in drawn):
            continue
        try:
            _prove(*drawn, environment)
        except Coincidence:
            continue
        contamination.accept(drawn)
        return drawn[0]
    raise UserError(f"count: no new task was found in {MAX_ATTEMPTS} attempts at task {slot.index}; ask for fewer")


def _prove(task: Task, mirror: Task, environment: Playable) -> None:
    prove(task, environment)
    prove_empty_turns(task, environment)
    if mirror != task:
        prove_mirror(task, mirror, environment)


def _draw(rng: Random, slot: Slot, families: Sequence[Family], category: Category) -> tuple[Task, Task] | None:
    """A task and its mirror image, where every hidden hazard of the task is absent and the other way round."""
    if category is Category.LONG_CONTEXT:
        families = [family for family in families if family.long_context]
    classes = _classes(rng, families, category)
    joins = _weighted(rng, JOINED)
    parts = draw_parts(rng, slot, families, classes, requests=_weighted(rng, MESSAGES) + joins)
    if {part.family.api for part in parts} != set(classes):
        return None
    scripts = [_script(parts, mirrored) for mirrored in (False, True)]
    lines = with_category(category, _lines(rng, slot, parts, joins), scripts, rng)
    if lines is None:
        return None
    task, mirror = (_build(slot, category, classes, parts, lines, mirrored) for mirrored in (False, True))
    return (task, mirror) if values_are_open(task) and values_are_open(mirror) else None


def _classes(rng: Random, families: Sequence[Family], category: Category) -> tuple[str, ...]:
    there = {family.api for family in families}
    known = [api for api in DOCUMENTATION if api in there]
    wanted = LONG_CLASSES & there if category is Category.LONG_CONTEXT else there
    count = 1 if len(known) == 1 or rng.random() < ONE_CLASS else 2
    while True:
        classes = tuple(rng.sample(known, count))
        if wanted & set(classes) or not wanted:
            return classes


def _weighted(rng: Random, weights: dict[int, float]) -> int:
    return rng.choices(list(weights), list(weights.values()))[0]


def _script(parts: Sequence[Part], mirrored: bool) -> Script:
    return {
        (number, index): turn for number, part in enumerate(parts) for index, turn in enumerate(part.draft(mirrored).turns)
    }


def _lines(rng: Random, slot: Slot, parts: Sequence[Part], joins: int) -> list[Line]:
    """What the user says, message by message. Requests share a message only where they are of different parts."""
    taken = frozenset[str]().union(*(part.taken for part in parts))
    scene = Scene(rng, slot.split, hazard=False, taken=taken)
    lines = [Line(turn.text, (request,)) for request, turn in _script(parts, False).items()]
    for _ in range(joins):
        places = [
            index for index in range(len(lines) - 1) if lines[index].requests[-1][0] != lines[index + 1].requests[0][0]
        ]
        if len(lines) > 2 and places:
            at = rng.choice(places)
            first, second = lines[at : at + 2]
            lines[at : at + 2] = [Line(joined(scene, first.text, second.text), first.requests + second.requests)]
    leads = [opening(scene, parts[0].family.api), *(following(scene) for _ in lines[1:])]
    return [replace(line, lead=lead, aside=aside(scene)) for line, lead in zip(lines, leads, strict=True)]


def _build(
    slot: Slot, category: Category, classes: tuple[str, ...], parts: Sequence[Part], lines: Sequence[Line], mirrored: bool
) -> Task:
    script = _script(parts, mirrored)
    name = f"{category}-{slot.split}-{slot.seed}-{slot.index:06d}"
    configs = {
        api: merge([(part.draft(mirrored).config, part.family.owns) for part in parts if part.family.api == api])
        for api in classes
    }
    return Task(
        id=name,
        scenario=name,
        split=slot.split,
        classes=classes,
        config={api: config for api, config in configs.items() if config},
        turns=tuple(_turn(line, script) for line in lines),
        tags=_tags(category, parts, mirrored),
        long_context=category is Category.LONG_CONTEXT,
        careless=tuple(careless for index, line in enumerate(lines) for careless in _careless(index, line, script)),
    )


def _turn(line: Line, script: Script) -> Turn:
    reference = tuple((call,) for request in line.requests for call in script[request].calls)
    return Turn(({"role": "user", "content": line.message},), reference, line.new_tools)


def _careless(index: int, line: Line, script: Script) -> list[Careless]:
    careless: list[Careless] = []
    before = 0
    for turn in (script[request] for request in line.requests):
        if turn.careless is not None:
            careless.append(Careless(index, before + turn.careless_step, turn.careless))
        before += len(turn.calls)
    return careless


def _tags(category: Category, parts: Sequence[Part], mirrored: bool) -> tuple[str, ...]:
    """Category, families, and the hazards that are there; `hazard_absent` where only hidden ones might have been."""
    drafts = [(part.family, _is_hazardous(part.draft(mirrored).turns)) for part in parts]
    hazards = sorted({f"hazard:{family.hazard}" for family, hazardous in drafts if hazardous})
    kinds = sorted({f"{family.kind}_hazard" for family, hazardous in drafts if hazardous})
    absent = ["hazard_absent"] if not kinds and any(family.hidden for family, _ in drafts) else []
    return (f"category:{category}", *(f"family:{family.name}" for family, _ in drafts), *kinds, *absent, *hazards)


def _is_hazardous(turns: Sequence[DraftTurn]) -> bool:
    return any(turn.careless is not None for turn in turns)
