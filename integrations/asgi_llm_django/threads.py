"""The event loop for a server without one (WSGI): one for the process, in a thread of its own, made when it is first
needed. Every gateway that answers there keeps its connections from one request to the next."""

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from asgi_llm import ConfigError

from .bridge import Body
from .database import release
from .project import get_gateway

__all__ = ["Pieces", "submit"]

T = TypeVar("T")

_lock = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []
_at_exit: Callable[..., Any] = getattr(threading, "_register_atexit", atexit.register)
"""Settlements may need threads for the database, and those are refused by the time that ``atexit`` is heard."""

_PATIENCE = 5
"""Seconds that the end of the process waits beyond the grace that the settings give to running requests."""


def submit(coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
    """Runs ``coroutine`` in the loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop())


class Pieces:
    """A body for a server without a loop: the thread that serves the request waits for each piece."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._fresh = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._fresh:
            self._fresh = False
            release()
        data = asyncio.run_coroutine_threadsafe(self._body.bridge.take(), self._body.bridge.loop).result()
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        self._body.close()


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
        # Closes what gateways that were forgotten meanwhile still have open.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not thread.is_alive():
        return
    with suppress(TimeoutError, ConfigError):
        gateway = get_gateway()
        closing = asyncio.run_coroutine_threadsafe(gateway.aclose(), loop)
        closing.result(gateway.settings.limits.shutdown_grace + _PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_PATIENCE)


def _forget() -> None:
    # A forked process has no thread that runs the loop.
    global _lock  # whoever held it is not there to release it
    _lock = threading.Lock()
    _loops.clear()


os.register_at_fork(after_in_child=_forget)
