"""The two benchmarks that have a user: what differs between them where they are evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fission_grpo.environments.base import Environment
from fission_grpo.environments.tau import DOMAINS as TAU_DOMAINS
from fission_grpo.environments.tau import TauEnvironment, tau_provenance, tau_tasks
from fission_grpo.environments.tau2 import DOMAINS, SPLITS, Tau2Environment, UserModel, provenance, tau2_tasks
from fission_grpo.environments.tau2.users import ScriptedUser
from fission_grpo.errors import UserError
from fission_grpo.tasks.task import Task


@dataclass(frozen=True)
class Benchmark:
    """One of the two.

    Attributes:
        name: on the command line. title: for a reader.
        split: the default one, which is the whole benchmark.
        max_steps: no conversation has more messages of the agent; the environment ends it before.
        find_tasks: by domain, split and whether it is solo mode.
        make_environment: with a user.
        describe: which package and tasks a domain's scores are from, as JSON values.
    """

    name: str
    title: str
    domains: tuple[str, ...]
    split: str
    max_steps: int
    find_tasks: Callable[[str, str, bool], list[Task]]
    make_environment: Callable[[UserModel], Environment]
    describe: Callable[[str], Mapping[str, Any]]

    def tasks(self, domain: str, split: str, solo: bool, limit: int | None) -> list[Task]:
        """The tasks of a split in the benchmark's order, or the first `limit` of them.

        Raises:
            UserError: no such domain, split or mode, or the package is not installed as it must be.
        """
        if domain not in self.domains:
            raise UserError(f"--domain: found {domain!r}; allowed: {', '.join(self.domains)}")
        found = self.find_tasks(domain, split, solo)
        if limit is not None and limit > len(found):
            raise UserError(f"--limit: found {limit}; {domain}, split {split}, has {len(found)} tasks")
        return found[:limit]


def _tau2(domain: str, split: str, solo: bool) -> list[Task]:
    if split not in SPLITS:
        raise UserError(f"--split: found {split!r}; allowed: {', '.join(SPLITS)}")
    if solo and domain != "telecom":
        raise UserError(f"--solo: {domain} cannot be played without a user; telecom can")
    return tau2_tasks(domain, next(each for each in SPLITS if each == split), solo=solo)


TAU2 = Benchmark(
    name="tau2",
    title="TAU2-Bench",
    domains=DOMAINS,
    split="base",
    max_steps=200,
    find_tasks=_tau2,
    make_environment=Tau2Environment,
    describe=lambda domain: asdict(provenance(domain)),
)
TAU = Benchmark(
    name="tau",
    title="TAU-Bench",
    domains=TAU_DOMAINS,
    split="test",
    max_steps=30,
    find_tasks=lambda domain, split, solo: tau_tasks(domain, split),
    make_environment=TauEnvironment,
    describe=tau_provenance,
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (TAU2, TAU)}


def scripted(benchmark: Benchmark) -> Environment:
    """A fresh environment with the scripted user."""
    return benchmark.make_environment(ScriptedUser())
