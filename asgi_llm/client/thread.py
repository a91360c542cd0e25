"""The event loop for code that has none: one for the process, in a thread of its own, made when it is first needed.
Every gateway that is used there keeps its connections from one call to the next."""

import asyncio
import atexit
import concurrent.futures.thread as _pools  # noqa: F401  # its end is registered here, so it comes after ours
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

__all__ = ["Closing", "submit"]

T = TypeVar("T")

_lock = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []
_users: "WeakSet[Closing]" = WeakSet()
_at_exit: Callable[..., Any] = getattr(threading, "_register_atexit", atexit.register)
"""Settlements may need threads, for a database say, and those are refused by the time that ``atexit`` is heard."""

_PATIENCE = 5
"""Seconds that the end of the process waits beyond the grace that the settings give to running requests."""


class Held(Protocol):
    """What a gateway has of its own in an event loop. ``users`` is how many hold it open."""

    users: int


class Closing(Protocol):
    """A gateway. ``grace`` is the seconds that it takes to close, at most."""

    @property
    def grace(self) -> float: ...

    def runtime(self, *, announced: bool = False) -> Held: ...

    async def aclose(self) -> None: ...


def submit(user: Closing, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
    """Runs ``coroutine`` in the loop; ``user`` is closed there when the process ends."""
    loop = _loop()
    with _lock:
        if user not in _users:
            _users.add(user)
            loop.call_soon_threadsafe(_hold, user)
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


def _hold(user: Closing) -> None:
    with suppress(Exception):  # whoever calls it next is told
        user.runtime(announced=True).users += 1


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        if not _loops:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(loop,), name="asgi-llm", daemon=True)
            thread.start()
            _at_exit(_stop, loop, thread)
            _loops.append(loop)
        return _loops[0]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(_finish(loop))
        loop.close()


async def _finish(loop: asyncio.AbstractEventLoop) -> None:
    """Closes what gateways that were forgotten meanwhile still have open. Some may be about to."""
    await loop.shutdown_asyncgens()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_PATIENCE / 2)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not thread.is_alive():
        return
    with _lock:
        users = list(_users)
    closing = [(asyncio.run_coroutine_threadsafe(user.aclose(), loop), user.grace) for user in users]
    for future, grace in closing:
        with suppress(TimeoutError):
            future.result(grace + _PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_PATIENCE)


def _forget() -> None:
    # A forked process has no thread that runs the loop.
    global _lock  # whoever held it is not there to release it
    _lock = threading.Lock()
    _loops.clear()
    _users.clear()


os.register_at_fork(after_in_child=_forget)
