"""How well the leak guard judges: false alarms, what it catches in which disguise, and its time.

    OMP_NUM_THREADS=1 python benchmarks/leak_guard.py       # prints and writes benchmarks/results/leak_guard.md

Real failures are single messages of the bundled policy at the step instances of generated tasks (compact mix), sampled at
temperature 1 and executed. On them: the feedbacks of the simulators, which by definition give nothing away; sentences that
quote the failed call; and planted answers. Beside them the guard's own sets (`leak_cases.py`).
"""

import argparse
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, quantiles

from fission_grpo.rollout.cpu import configure_cpu
from fission_grpo.simulators import EnvironmentSimulator, FixedSimulator, RulesSimulator
from fission_grpo.simulators.leak import Leak, LeakForm, leaks
from fission_grpo.simulators.leak.scalars import Scalar, same_scalar, scalars_of
from fission_grpo.types import Failure, FeedbackLevel, ToolCall
from leak_cases import load_cases

PLANTED = {
    "{parameter} should be {value}": "named",
    "the {parameter} that the request speaks of is {value}": "near",
    "use {value} for the {parameter}": "behind",
    "{tool}({parameter}={value!r})": "as a call",
    "did you mean {value}?": "by a cue, without the parameter",
}
QUOTING: tuple[Callable[[ToolCall], str], ...] = (
    lambda call: f"{call.name}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())}) was rejected.",
    lambda call: f"{call.name}({', '.join(repr(value) for value in call.arguments.values())}): invalid arguments",
    lambda call: " ".join(f"Invalid value {value!r} for parameter `{name}`." for name, value in call.arguments.items()),
    lambda call: " ".join(f"The {name} {value} is not what was asked for." for name, value in call.arguments.items()),
    lambda call: f"The tool {call.name} needs {' and '.join(call.arguments) or 'no arguments'}; compare with the request.",
    lambda call: f"'{next(iter(call.arguments.values()), '')}' was not found. Check its spelling, then call again.",
)
"""Honest sentences about a failed call: each repeats only what the policy wrote itself."""
Alarm = tuple[str, str, Failure, Leak]
"""Kind of feedback, its text, the failure, the leak found."""


def real_failures(count: int, tasks: int, seed: int) -> list[Failure]:
    """At least `count` different failures of the bundled policy, as step granularity meets them."""
    from fission_grpo.environments.bfcl import BFCLEnvironment
    from fission_grpo.rewards.composite import CompositeReward
    from fission_grpo.rollout.policy import Sampling
    from fission_grpo.rollout.transformers_policy import load_policy
    from fission_grpo.tasks.generate import generate_tasks
    from fission_grpo.tasks.mix import Mix
    from fission_grpo.training.rollouts import Rollout
    from fission_grpo.training.step import StepTasks

    policy, chat = load_policy("bundled", "cpu")
    steps = StepTasks(
        generate_tasks(tasks, seed, BFCLEnvironment(), mix=Mix.COMPACT), BFCLEnvironment, chat, CompositeReward(), 2048
    )
    prompts = [tuple(chat.render(instance.messages, instance.tools)) for instance in steps.instances]
    found: dict[str, Failure] = {}
    for draw in range(100):
        completions = policy.generate(prompts, Sampling(temperature=1.0, max_new_tokens=128, seed=seed + draw))
        for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            text = chat.decode(completion.ids)
            mask = (1,) * len(completion.ids)
            failure = steps.failure(Rollout({"instance": index}, prompt, completion.ids, mask, text, 0.0, False, 0))
            if failure is not None:
                found.setdefault(failure.key, failure)
        print(f"draw {draw + 1}: {len(found)} failures", flush=True)
        if len(found) >= count:
            break
    return list(found.values())


def feedbacks(failure: Failure) -> Iterator[tuple[str, str]]:
    """Every feedback that gives nothing away: who wrote it, and its text."""
    yield "environment", EnvironmentSimulator().diagnose([failure])[0].text
    yield "fixed", FixedSimulator().diagnose([failure])[0].text
    for level in FeedbackLevel:
        yield f"rules, {level.name.lower()}", RulesSimulator().diagnose([replace(failure, level=level)])[0].text
    for call in failure.calls:
        yield from (("quoting the failed call", sentence(call)) for sentence in QUOTING)


def unsaid_scalars(failure: Failure) -> list[Scalar]:
    """What the failed message got wrong and the environment did not say: what a planted answer gives away."""
    passed, said = list(scalars_of(failure.calls)), (failure.error_text or "").casefold()
    written = failure.text if failure.format_error else ""
    return [
        scalar
        for scalar in scalars_of(failure.reference)
        if not any(own.parameter == scalar.parameter and same_scalar(own.value, scalar.value) for own in passed)
        and str(scalar.value).casefold() not in said
        and str(scalar.value) not in written
    ]


def judge(failures: Sequence[Failure]) -> tuple[Counter[str], list[Alarm], list[float]]:
    """Feedbacks by kind, alarms among them, and milliseconds a feedback."""
    counts: Counter[str] = Counter()
    alarms: list[Alarm] = []
    times: list[float] = []
    for failure in failures:
        for kind, text in feedbacks(failure):
            start = time.perf_counter()
            leak = leaks(text, failure)
            times.append(1000 * (time.perf_counter() - start))
            counts[kind] += 1
            if leak is not None:
                alarms.append((kind, text, failure, leak))
    return counts, alarms, times


def share(hits: int, of: int) -> str:
    return f"{hits} of {of} ({100 * hits / max(of, 1):.1f}%)"


def real_section(failures: Sequence[Failure]) -> list[str]:
    counts, alarms, times = judge(failures)
    by_kind = Counter(kind for kind, *_ in alarms)
    lines = ["## False alarms on real failures", "", "| feedback | number | alarms |", "|---|---|---|"]
    lines += [f"| {kind} | {count} | {by_kind[kind]} |" for kind, count in counts.items()]
    lines += ["", f"Time a feedback: mean {mean(times):.3f} ms, 99% below {quantiles(times, n=100)[98]:.3f} ms."]
    if alarms:
        lines += ["", "Every alarm (the same text about the same values once):", ""]
    distinct = {(text, leak): (kind, failure) for kind, text, failure, leak in alarms}
    for (text, leak), (kind, failure) in distinct.items():
        lines.append(f"- {kind}: `{text}` gives away `{leak}`; failed: `{failure.calls}`")
    return lines


def planted_section(failures: Sequence[Failure]) -> list[str]:
    items = [(failure, scalar) for failure in failures for scalar in unsaid_scalars(failure)]
    long = [(failure, scalar) for failure, scalar in items if not scalar.is_short]
    lines = ["## Planted answers on the same failures", "", "| planted | phrasing | long values | short values |"]
    lines.append("|---|---|---|---|")
    for template, title in PLANTED.items():
        cells = [share(_caught(template, chosen), len(chosen)) for chosen in (long, [i for i in items if i not in long])]
        lines.append(f"| {title} | `{template}` | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Values of fewer than three characters and booleans count only when bound explicitly: by definition.",
    ]


def _caught(template: str, items: Iterable[tuple[Failure, Scalar]]) -> int:
    def plant(scalar: Scalar) -> str:
        return "error: wrong. " + template.format(tool=scalar.tool, parameter=scalar.parameter, value=scalar.value)

    return sum(leaks(plant(scalar), failure) is not None for failure, scalar in items)


def sets_section() -> list[str]:
    caught: dict[str, Counter[LeakForm | None]] = {}
    for case in load_cases("adversarial"):
        leak = leaks(case.feedback, case.failure)
        caught.setdefault(case.disguise, Counter())[leak and leak.form] += 1
    lines = ["## Adversarial set", "", "| disguise | caught | exact | normalised | paraphrased |", "|---|---|---|---|---|"]
    for disguise, forms in caught.items():
        cells = " | ".join(str(forms[form]) for form in LeakForm)
        lines.append(f"| {disguise} | {share(forms.total() - forms[None], forms.total())} | {cells} |")
    honest, missed = load_cases("honest"), load_cases("known_misses")
    alarms = sum(leaks(case.feedback, case.failure) is not None for case in honest)
    by_class = Counter(case.disguise for case in missed)
    return [
        *lines, "", f"Honest set: {share(alarms, len(honest))} raise an alarm.", "", "## Known misses", "",
        *(f"- {name.replace('_', ' ')}: {number}, such as `{next(c.feedback for c in missed if c.disguise == name)}`"
          for name, number in by_class.items()),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failures", type=int, default=2000, help="least number of failures (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=2000, help="tasks to meet them at (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of tasks and sampling (default: %(default)s)")
    options = parser.parse_args()
    configure_cpu()
    failures = real_failures(options.failures, options.tasks, options.seed)
    kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(failure.kind for failure in failures).most_common())
    command = f"python benchmarks/leak_guard.py --failures {options.failures} --tasks {options.tasks} --seed {options.seed}"
    lines = [
        "# The leak guard", "", f"`{command}`, one thread, {platform.machine()}.", "",
        f"{len(failures)} different failures of the bundled policy: {kinds}.", "",
        *real_section(failures), "", *planted_section(failures), "", *sets_section(), "",
    ]  # fmt: skip
    text = "\n".join(lines)
    (Path(__file__).parent / "results" / "leak_guard.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
