"""tau2's tasks played by scripts: rewards, equality with tau2 itself, recovery from forks, and what forks cost.

    python benchmarks/tau2_replay.py --out benchmarks/results/tau2_replay.md

Five questions, each with its target:

- does the reference, played through our environment and episode driver, earn reward 1.0 in every task;
- do corrupted scripts earn exactly what tau2's own orchestrator, user simulator and evaluator give them (at least 500);
- does an episode that errs, is forked and goes on with the reference earn 1.0 wherever the unforked one does;
- what does a fork cost (at most 30 ms on average in each domain), beside tau2's own way by prefix;
- what does an agent earn that does nothing: the baseline that stands beside every score.

tau2's side asks its user over HTTP, as any endpoint: the scripted user behind our local server.
"""

import argparse
import platform
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fission_grpo.environments.tau2 import DOMAINS, ScriptedUser, Tau2Environment, provenance, tau2_tasks
from fission_grpo.environments.tau2.package import package_module
from fission_grpo.environments.tau2.users.server import serving
from fission_grpo.rollout.episode import EpisodeStart
from fission_grpo.tasks.task import Task
from fission_grpo.types import ToolCall
from tau2_play.corruption import KINDS, MAX_STEPS, UNKNOWN, corrupted
from tau2_play.official import facts_of, play_officially
from tau2_play.scripts import MessageChat, Said, Script, official_task, play, reference_script

Bar = Callable[[str, int], Callable[[], None]]
"""Opens a progress bar with a name and a length; what it returns advances it."""


@dataclass(frozen=True)
class Setting:
    """A domain in one mode."""

    name: str
    tasks: list[Task]


def settings(limit: int | None) -> list[Setting]:
    modes = [(domain, tau2_tasks(domain)) for domain in DOMAINS]
    modes.insert(2, ("telecom, solo", tau2_tasks("telecom", solo=True)))
    return [Setting(name, tasks[:limit]) for name, tasks in modes]


def measure_reference(chosen: Sequence[Setting], bar: Bar) -> list[str]:
    lines = ["| domain | tasks | reward 1.0 | nothing done | tasks/s |", "|---|---|---|---|---|"]
    for setting in chosen:
        advance = bar(f"reference, {setting.name}", 2 * len(setting.tasks))
        started, solved, idle = time.perf_counter(), 0, 0
        for task in setting.tasks:
            solved += play(task, reference_script(task), Tau2Environment).solved
            advance()
        seconds = time.perf_counter() - started
        for task in setting.tasks:
            idle += play(task, _nothing(task), Tau2Environment).solved
            advance()
        count = len(setting.tasks)
        lines.append(
            f"| {setting.name} | {count} | {solved}/{count} | {idle}/{count} ({idle / count:.1%}) | {count / seconds:.0f} |"
        )
    return lines


def _nothing(task: Task) -> Script:
    return (Said(calls=(ToolCall("done"),)),) if task.config["solo"] else (Said("I am afraid that I cannot help you."),)


@dataclass
class Parity:
    """How many scripts came out equal, by domain; which did not; and the time that both took."""

    compared: Counter[str] = field(default_factory=Counter[str])
    equal: Counter[str] = field(default_factory=Counter[str])
    rewarded: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    differing: list[str] = field(default_factory=list[str])
    ours: float = 0.0
    theirs: float = 0.0


def measure_parity(chosen: Sequence[Setting], count: int, bar: Bar) -> tuple[Parity, list[str]]:
    parity = Parity()
    with serving(ScriptedUser()) as url:
        for setting in chosen:
            others = [call for task in setting.tasks for call in task.turns[0].calls]
            advance = bar(f"corrupted scripts, {setting.name}", count)
            for index in range(count):
                kind, task = list(KINDS)[index % len(KINDS)], setting.tasks[index % len(setting.tasks)]
                script = corrupted(reference_script(task), kind, others, index)
                _compare(setting.name, task, script, kind, url, parity)
                advance()
    lines = ["| domain | scripts | equal | with reward 1.0 |", "|---|---|---|---|"]
    for name, compared in parity.compared.items():
        lines.append(f"| {name} | {compared} | {parity.equal[name]} | {parity.rewarded[name]} |")
    return parity, lines


def _compare(name: str, task: Task, script: Script, kind: str, url: str, parity: Parity) -> None:
    max_steps = MAX_STEPS.get(kind, 200)
    environment = Tau2Environment(max_steps=max_steps)
    started = time.perf_counter()
    verdict = play(task, script, lambda: environment).verdict
    parity.ours += time.perf_counter() - started
    started = time.perf_counter()
    simulation = play_officially(task, script, url, max_steps=max_steps)
    parity.theirs += time.perf_counter() - started
    solved = simulation.reward_info.reward >= 1 - 1e-6
    parity.compared[name] += 1
    parity.rewarded[name] += solved
    parity.ends[simulation.termination_reason.value] += 1
    conversation = environment.conversation
    same = (
        verdict is not None
        and verdict.solved == solved
        and conversation.termination == simulation.termination_reason.value
        and facts_of(conversation.trajectory) == facts_of(simulation.messages)
    )
    parity.equal[name] += same
    if not same:
        parity.differing.append(f"{task.id}, {kind}: {verdict} against {simulation.termination_reason.value}, {solved}")


def measure_recovery(chosen: Sequence[Setting], bar: Bar) -> list[str]:
    lines = [
        "| domain | forks | behind several results | unforked 1.0 | forked 1.0 of those |",
        "|---|---|---|---|---|",
    ]
    for setting in chosen:
        advance = bar(f"error, fork, continue, {setting.name}", len(setting.tasks))
        forks = several = unforked = forked = 0
        for task in setting.tasks:
            for before, after, many in _erring(task):
                whole = play(task, (*before, *after), Tau2Environment).solved
                parted = _forked(task, before, after)
                forks, several, unforked, forked = forks + 1, several + many, unforked + whole, forked + (whole and parted)
            advance()
        lines.append(f"| {setting.name} | {forks} | {several} | {unforked} | {forked}/{unforked} |")
    return lines


def _erring(task: Task) -> list[tuple[Script, Script, bool]]:
    """An error at two places of the reference: once alone, once in one message with all calls before it."""
    script, draw = reference_script(task), random.Random(task.id)
    place = draw.randrange(len(script))
    alone = (*script[:place], Said(calls=(UNKNOWN,)))
    cases = [(alone, script[place:], False)]
    calls = tuple(call for said in script[:place] for call in said.calls)
    if calls and all(said.calls for said in script[:place]):
        cases.append(((Said(calls=(*calls, UNKNOWN)),), script[place:], True))
    return cases


def _forked(task: Task, before: Script, after: Script) -> bool:
    """Plays up to the error, forks into an environment that never saw the task, and goes on there by the episode driver."""
    parent, child = Tau2Environment(), Tau2Environment()
    messages = parent.reset(task)
    reply = None
    for said in before:
        reply = parent.respond(said.text, said.calls)
    if reply is None or reply.over or not reply.results[-1].is_error:
        return False
    child.restore(parent.snapshot())
    chat = MessageChat()
    start = EpisodeStart(task, child, tuple(messages), tuple(chat.render(messages, ())))
    return play(start, after, Tau2Environment).solved


def measure_forks(chosen: Sequence[Setting], bar: Bar) -> list[str]:
    lines = [
        "| domain | forks | mean | 99th percentile | slowest | tau2's `initialize`, mean | snapshot, mean size |",
        "|---|---|---|---|---|---|---|",
    ]
    for setting in chosen:
        advance = bar(f"forks, {setting.name}", len(setting.tasks))
        times: list[float] = []
        official: list[float] = []
        sizes: list[int] = []
        for task in setting.tasks:
            parent, child = Tau2Environment(), Tau2Environment()
            parent.reset(task)
            for said in reference_script(task):
                started = time.perf_counter()
                snapshot = parent.snapshot()
                child.restore(snapshot)
                times.append((time.perf_counter() - started) * 1e3)
                sizes.append(len(snapshot.data))
                parent.respond(said.text, said.calls)
            if not task.config["solo"]:
                official.append(_initialize_ms(task, parent.conversation.trajectory))
            advance()
        times.sort()
        mean, late = sum(times) / len(times), times[int(len(times) * 0.99)]
        theirs = f"{sum(official) / len(official):.0f} ms" if official else "-"
        size = f"{sum(sizes) / len(sizes) / 1e3:.0f} kB"
        lines.append(
            f"| {setting.name} | {len(times)} | {mean:.2f} ms | {late:.2f} ms | {times[-1]:.2f} ms | {theirs} | {size} |"
        )
    return lines


def _initialize_ms(task: Task, trajectory: Sequence[Any]) -> float:
    """tau2's own way to go on from a prefix: a new environment, and the whole prefix played again in it."""
    official = official_task(task)
    prefix = list(trajectory[:-1])
    state = package_module("data_model.tasks").InitialState(
        initialization_data=None,
        initialization_actions=official.initial_state.initialization_actions if official.initial_state else None,
        message_history=prefix,
    )
    users, agents = package_module("user.user_simulator"), package_module("agent.llm_agent")
    started = time.perf_counter()
    environment = package_module("registry").registry.get_env_constructor(task.config["domain"])()
    package_module("orchestrator.orchestrator").Orchestrator(
        domain=task.config["domain"],
        agent=agents.LLMAgent(tools=environment.get_tools(), domain_policy=environment.get_policy()),
        user=users.UserSimulator(instructions=str(official.user_scenario)),
        environment=environment,
        task=official.model_copy(update={"initial_state": state}),
    ).initialize()
    return (time.perf_counter() - started) * 1e3


def report(chosen: Sequence[Setting], scripts: int, bar: Bar) -> str:
    reference = measure_reference(chosen, bar)
    parity, compared = measure_parity(chosen, scripts, bar)
    recovery = measure_recovery(chosen, bar)
    forks = measure_forks(chosen, bar)
    sources = [replace(provenance(domain), reward_basis={}) for domain in DOMAINS]
    basis = [f"{domain}: {provenance(domain).reward_basis}" for domain in DOMAINS]
    total = sum(parity.compared.values())
    return "\n".join(
        [
            "# tau2: replays, equality, forks",
            "",
            f"`python benchmarks/tau2_replay.py --scripts {scripts}` on {platform.machine()}, Python "
            f"{platform.python_version()}; {sources[0].distribution} {sources[0].version}, litellm {sources[0].litellm}.",
            "",
            *(f"- {source.domain}: `{source.task_file}` {source.task_file_sha256}" for source in sources),
            f"- Scored by: {'; '.join(basis)}.",
            "",
            "## The reference, and doing nothing",
            "",
            *reference,
            "",
            "In telecom without solo mode the scripted user does what the agent asks of him, by the reference.",
            "",
            "## Corrupted scripts, against tau2 itself",
            "",
            f"{total} scripts of {len(KINDS)} kinds ({', '.join(KINDS)}). Equal means: the same verdict, the same reason "
            "for the end, and the same messages, calls, results and error marks.",
            "",
            *compared,
            "",
            f"Ends: {', '.join(f'{end} {count}' for end, count in parity.ends.most_common())}. "
            f"Time for all: ours {parity.ours:.0f} s, tau2's {parity.theirs:.0f} s.",
            *(f"- differs: {each}" for each in parity.differing[:20]),
            "",
            "## Error, fork, continue on the reference",
            "",
            *recovery,
            "",
            "## What a fork costs",
            "",
            "Snapshot and restore into another environment, before every message of the reference. tau2's way is measured "
            "once a task, behind its whole conversation.",
            "",
            *forks,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the report; by default it is only printed")
    parser.add_argument("--scripts", type=int, default=150, help="corrupted scripts in each of four settings (default: 150)")
    parser.add_argument("--limit", type=int, help="tasks in each setting, for a quick look (default: all)")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:

        def bar(name: str, length: int) -> Callable[[], None]:
            row = progress.add_task(name, total=length)
            return lambda: progress.advance(row)

        text = report(settings(arguments.limit), arguments.scripts, bar)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
