"""Runs a coroutine from code that is none: also where a loop runs already (a notebook), and so that Ctrl-C works."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_thread(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which runs in a loop and a thread of its own; an interruption of the caller cancels it."""
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()
    result: Future[T] = Future()

    async def publish() -> None:
        result.set_result(await work)

    async def main() -> None:
        task = asyncio.create_task(publish())
        running.set_result((asyncio.get_running_loop(), task))
        await task

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if not result.done():
                result.set_exception(error)

    # The result is published before the loop is closed, which would wait for a name that no server resolves; and the thread
    # is a daemon, so that neither keeps the program from ending.
    threading.Thread(target=run, name="endpoint", daemon=True).start()
    try:
        return result.result()
    except BaseException:
        if not result.done():
            loop, task = running.result()
            loop.call_soon_threadsafe(task.cancel)
        raise
