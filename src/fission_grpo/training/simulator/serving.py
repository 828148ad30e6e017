"""The simulators of a run, as its recipe names them; mistakes are found before any weights are loaded."""

from difflib import get_close_matches
from pathlib import Path

from fission_grpo.errors import UserError
from fission_grpo.recipe import Recipe, SimulatorSection
from fission_grpo.recipe.loading import check_simulator_recipe
from fission_grpo.simulators.base import Simulator
from fission_grpo.simulators.cache import ReplyCache
from fission_grpo.simulators.corrupted import corrupted
from fission_grpo.simulators.endpoint import EndpointOptions, EndpointSimulator
from fission_grpo.simulators.local import LocalSimulator, check_simulator
from fission_grpo.simulators.prompt import INSTRUCTION
from fission_grpo.simulators.registry import make_simulator, registered_simulators
from fission_grpo.training.simulator.refresh import Refresher
from fission_grpo.training.simulator.sft import trainer_fields

CACHE_FILE = "simulator_cache.jsonl"
"""In a run folder: what the endpoint answered."""


def check_simulators(section: SimulatorSection, run: Path) -> None:
    """Looks at what the simulators of a recipe need.

    Raises:
        UserError: the local simulator's folder, tokenizer or device is wrong, a field of the refresh's `trainer` is none,
            or the endpoint cannot be used.
    """
    if section.local is not None:
        check_simulator(section.local.model, section.local.device)
    if section.refresh is not None:
        settings = {"data": str(run), "trainer": section.refresh.trainer}
        check_simulator_recipe(settings, "simulator.refresh", trainer_fields())
    if section.endpoint is not None:
        _endpoint(section, run).check()


def simulators_of(recipe: Recipe, run: Path) -> list[Simulator]:
    """The simulators in order of preference; the first may be corrupted, for ablations."""
    section = recipe.simulator
    simulators = [_simulator(name, section, run) for name in recipe.fission.simulators]
    if section.corruption > 0:
        simulators[0] = corrupted(simulators[0], section.corruption, recipe.seed)
    return simulators


def simulator_by_name(name: str) -> Simulator:
    """A registered simulator, or the local model of that folder or name.

    Raises:
        UserError: it is neither.
    """
    known = registered_simulators()
    meant = get_close_matches(name, known, n=1)
    if name not in known and meant and not Path(name).exists():
        raise UserError(f"simulator {name!r}: no such folder; did you mean {meant[0]!r}?")
    return make_simulator(name) if name in known else LocalSimulator(name)


def refresher_of(section: SimulatorSection, run: Path) -> Refresher | None:
    """What refreshes the local simulator, None where it stays frozen."""
    if section.refresh is None or section.local is None:
        return None
    teacher = _endpoint(section, run) if section.refresh.teacher == "endpoint" else None
    return Refresher(section.refresh, section.local, run, teacher)


def _simulator(name: str, section: SimulatorSection, run: Path) -> Simulator:
    if name == "local" and section.local is not None:
        return LocalSimulator(**section.local.model_dump())
    if name == "endpoint":
        return _endpoint(section, run)
    return make_simulator(name)


def _endpoint(section: SimulatorSection, run: Path) -> EndpointSimulator:
    assert section.endpoint is not None  # the recipe was checked
    settings = section.endpoint
    instruction = INSTRUCTION if settings.instruction == "full" else ""
    options = EndpointOptions(**settings.model_dump(exclude={"cache", "instruction"}), instruction=instruction)
    cache = ReplyCache(Path(settings.cache) if settings.cache else run / CACHE_FILE)
    return EndpointSimulator(options, cache, own_cache=not settings.cache)
