"""Nothing may be left behind: tasks, sockets, files."""

import asyncio
import os
import stat
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

__all__ = ["no_leaks"]

_TURNS = 20
"""Turns of the loop that closing connections and cancelled tasks may take before the clock is looked at."""


@asynccontextmanager
async def no_leaks(seconds: float = 5.0) -> AsyncIterator[None]:
    """Fails if more asyncio tasks or open file descriptors (sockets among them) exist after the block than before.

    What is on its way out gets some turns of the loop, and then at most so many seconds. Descriptors are looked at
    where the system lists them (Linux, macOS).

    Raises:
        AssertionError: names what was left.
    """
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    turn = 0
    while (left := _left(tasks, descriptors)) and (turn < _TURNS or loop.time() < deadline):
        turn += 1
        await asyncio.sleep(0 if turn <= _TURNS else 0.01)
    if left:
        raise AssertionError("left behind: " + "; ".join(left))


def _left(tasks: set[asyncio.Task[object]], descriptors: Counter[str]) -> list[str]:
    new = [task for task in asyncio.all_tasks() - tasks if not task.done()]
    return [
        *(f"task {task.get_name()} ({task.get_coro()!r})" for task in new),
        *(_descriptors() - descriptors).elements(),
    ]


def _descriptors() -> Counter[str]:
    """Every open descriptor, named by what it is open on, so that numbers may be used again.

    Character devices are left out: event loops keep ``/dev/null`` in reserve.
    """
    found: Counter[str] = Counter()
    for listing in (Path("/proc/self/fd"), Path("/dev/fd")):
        with suppress(OSError):
            numbers = os.listdir(listing)  # noqa: PTH208  names only, and all of them before any is closed
            break
    else:
        return found
    for number in numbers:
        with suppress(OSError):  # the descriptor of the listing itself is closed by now
            status = os.fstat(int(number))
            if not stat.S_ISCHR(status.st_mode):
                found[_describe(status)] += 1
    return found


def _describe(status: os.stat_result) -> str:
    kind = "socket" if stat.S_ISSOCK(status.st_mode) else "pipe" if stat.S_ISFIFO(status.st_mode) else "file"
    return f"{kind} {status.st_dev}:{status.st_ino}"
