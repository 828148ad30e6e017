"""What a call of a tool costs in this process, and with `FunctionEnvironment(isolated=True)`.

python benchmarks/isolation.py --calls 500
"""

import os
import statistics
import time
from typing import Annotated

import typer
from rich.progress import track

from fission_grpo.environments.functions import FunctionEnvironment
from fission_grpo.tasks.task import Task, Turn
from fission_grpo.types import ToolCall


def main(
    calls: Annotated[int, typer.Option(help="Of each kind, in turns.")] = 500,
    values: Annotated[int, typer.Option(help="Numbers in the state.")] = 1000,
) -> None:
    """Print the median time of a call, here and isolated.

    Example: python benchmarks/isolation.py --calls 500
    """
    from isolation_tool import add  # a script's own functions cannot be imported by another process

    task = Task("t", "t", (Turn(({"role": "user", "content": "Go on."},)),))
    environments = [FunctionEnvironment([add], state=[0] * values, isolated=isolated) for isolated in (False, True)]
    for environment in environments:
        environment.reset(task)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in track(range(calls), "Calling"):
        for environment, times in zip(environments, seconds, strict=True):
            begun = time.perf_counter()
            environment.call(ToolCall("add", {"amount": 1}))
            times.append(time.perf_counter() - begun)
    load = os.getloadavg()[0]
    print(f"{calls} calls of each kind, state of {values} numbers, {os.cpu_count()} cores, load {load:.1f}")
    for name, times in zip(("in process", "isolated"), seconds, strict=True):
        print(f"| {name} | median {statistics.median(times) * 1000:.2f} ms | fastest {min(times) * 1000:.2f} ms |")


if __name__ == "__main__":
    typer.run(main)
