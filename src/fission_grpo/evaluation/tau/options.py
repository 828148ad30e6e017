"""What the command line asks for, checked before a model is loaded, and made into a run."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fission_grpo.credentials import address_fault
from fission_grpo.environments.base import Environment
from fission_grpo.environments.tau2 import EndpointUser, ScriptedUser, UserModel
from fission_grpo.errors import UserError
from fission_grpo.evaluation.asking import Decoding
from fission_grpo.evaluation.endpoint import EndpointSettings
from fission_grpo.evaluation.tau.benchmarks import Benchmark
from fission_grpo.evaluation.tau.play import EndpointPlayer, LocalPlayer, Player
from fission_grpo.evaluation.tau.run import Run
from fission_grpo.rollout.loading import locate_model

DTYPES = ("auto", "float32", "bfloat16", "float16")
RUNS = Path("runs/eval")
SCRIPTED = ScriptedUser.name


@dataclass(frozen=True)
class Options:
    """The options of `fission eval tau2` and `fission eval tau`, as their help describes them.

    Attributes:
        split: None for the benchmark's own.
        user: `scripted`, or the address of an endpoint.
    """

    benchmark: Benchmark
    domain: str
    solo: bool
    split: str | None
    model: str
    limit: int | None
    trials: int
    user: str
    user_model: str | None
    temperature: float
    seed: int
    max_new_tokens: int
    max_context_tokens: int | None
    batch_size: int
    device: str | None
    dtype: str
    base_url: str | None
    concurrency: int
    timeout: float
    retries: int
    out: Path | None

    @property
    def chosen_split(self) -> str:
        return self.split or self.benchmark.split


def check_options(options: Options) -> None:
    """Says what is wrong, before anything is loaded; a user model is asked once.

    Raises:
        UserError: a value that is not allowed, a model that cannot be one, a user model that does not answer.
    """
    if not options.model:
        raise UserError("--model: missing; give 'bundled', a folder, a name of the hub, or the endpoint's name for it")
    if options.dtype not in DTYPES:
        raise UserError(f"--dtype: found {options.dtype!r}; allowed: {', '.join(DTYPES)}")
    options.benchmark.tasks(options.domain, options.chosen_split, options.solo, options.limit)
    if options.base_url is None:
        locate_model(options.model)
    else:
        _check_address("--base-url", options.base_url)
        if options.max_context_tokens is not None:
            raise UserError("--max-context-tokens: an endpoint keeps its own; leave it out with --base-url")
    if options.user != SCRIPTED:
        _check_address("--user", options.user, "scripted, or ")
        if options.solo:
            raise UserError(f"--user {options.user}: solo mode has no user; leave one of --user and --solo out")
        if options.user_model is None:
            raise UserError(f"--user-model: missing; give the name that the endpoint {options.user} has for its model")
        EndpointUser(options.user, options.user_model).check()
    elif options.user_model is not None:
        raise UserError(f"--user-model: found {options.user_model!r}, but the user is scripted; add --user with an endpoint")


def plan(options: Options) -> Run:
    """Loads what plays, and says where the results go.

    Raises:
        UserError: see `check_options`; or the model cannot be loaded.
    """
    benchmark, split = options.benchmark, options.chosen_split
    asked = options.user_model
    user: UserModel = EndpointUser(options.user, asked) if asked else ScriptedUser()
    play = _endpoint if options.base_url else _local
    player = play(options, lambda: benchmark.make_environment(user))
    settings: dict[str, Any] = {
        "model": options.model,
        "benchmark": benchmark.name,
        "split": split,
        "solo": options.solo,
        "user": "none" if options.solo else user.name,
        "temperature": options.temperature,
        "max_new_tokens": options.max_new_tokens,
        "max_context_tokens": player.context_tokens if isinstance(player, LocalPlayer) else None,
        "seed": options.seed,
        **benchmark.describe(options.domain),
    }
    tasks = benchmark.tasks(options.domain, split, options.solo, options.limit)
    return Run(options.out or default_folder(options), settings, benchmark, tasks, options.trials, player)


def default_folder(options: Options) -> Path:
    """One folder a benchmark, domain, mode, split and model."""
    split = () if options.chosen_split == options.benchmark.split else (options.chosen_split,)
    parts = (options.benchmark.name, options.domain, *(("solo",) if options.solo else ()), *split, options.model)
    return RUNS / re.sub(r"[^\w.-]+", "_", "-".join(parts)).strip("_.")


def _check_address(option: str, address: str, others: str = "") -> None:
    if not re.match(r"https?://", address):
        raise UserError(f"{option}: found {address!r}; give {others}one such as http://localhost:8000/v1")
    if fault := address_fault(address):
        raise UserError(f"{option}: {fault}")


def _decoding(options: Options) -> Decoding:
    return Decoding(options.temperature, options.max_new_tokens, options.seed)


def _endpoint(options: Options, make_environment: Callable[[], Environment]) -> Player:
    settings = EndpointSettings(str(options.base_url), options.model, options.concurrency, options.timeout, options.retries)
    return EndpointPlayer(settings, make_environment, _decoding(options), options.benchmark.max_steps)


def _local(options: Options, make_environment: Callable[[], Environment]) -> Player:
    from fission_grpo.evaluation.local_model import load_local

    loaded = load_local(options.model, options.device, options.dtype)
    context = options.max_context_tokens or loaded.context_tokens
    return LocalPlayer(
        policy=loaded.policy(options.batch_size, context, options.seed),
        chat=loaded.chat,
        make_environment=make_environment,
        decoding=_decoding(options),
        max_steps=options.benchmark.max_steps,
        context_tokens=context,
        at_once=options.batch_size,
    )
