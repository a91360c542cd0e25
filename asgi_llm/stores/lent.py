"""Answers in a cache that the application has already: any object with ``get`` and ``set``, of whatever library.

Its methods may be coroutines; others are called in a thread, for they may wait for a network. Where it offers both
(Django's do), those that begin with an ``a`` are the coroutines. How long a value lives is told in the parameter that
is named for it.
"""

import asyncio
import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from asgi_llm.errors import ConfigError, Problem, StoreError

from .scope import Scope

__all__ = ["LentAnswers"]

_LIVES = ("timeout", "ttl", "expire", "ex", "expires_in", "exptime")
"""What libraries call the seconds for which a value is kept."""


class LentAnswers:
    """Implements ``AnswerStore``. The cache is not closed here.

    Raises:
        ConfigError: it cannot be used as one.
    """

    def __init__(self, cache: Any) -> None:
        self._get: Callable[..., Any] = _method(cache, "get")
        self._set: Callable[..., Any] = _method(cache, "set")
        self._lives = _lives(self._set)

    async def get(self, scope: Scope, key: str, now: float) -> bytes | None:
        found = await _called(self._get, _place(scope, key))
        return bytes(found) if isinstance(found, bytes | bytearray | memoryview) else None

    async def put(self, scope: Scope, key: str, value: bytes, now: float, ttl: float) -> None:
        # Some take whole seconds only.
        await _called(self._set, _place(scope, key), value, **{self._lives: max(1, round(ttl))})

    async def aclose(self) -> None:
        pass


def _method(cache: Any, name: str) -> Callable[..., Any]:
    for found in (getattr(cache, f"a{name}", None), getattr(cache, name, None)):
        if callable(found):
            return found  # type: ignore[no-any-return]  # whatever it is
    raise ConfigError([Problem("cache", f"{type(cache).__name__} has no method {name}")])


def _lives(method: Callable[..., Any]) -> str:
    names = inspect.signature(method).parameters
    found = next((name for name in _LIVES if name in names), None)
    if found is None:
        raise ConfigError(
            [Problem("cache", f"set() takes none of {', '.join(_LIVES)}, so that it would keep for ever")]
        )
    return found


async def _called(method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        if inspect.iscoroutinefunction(method):
            return await method(*arguments, **named)
        told = await asyncio.to_thread(method, *arguments, **named)
        return await told if inspect.isawaitable(told) else told
    except Exception as error:  # every library has errors of its own
        raise StoreError from error


def _place(scope: Scope, key: str) -> str:
    """Names of tenants and subjects are anybody's; some caches take short names only, of few characters."""
    whose = sha256(f"{len(scope.tenant)}\n{scope.tenant}{scope.subject}".encode("utf-8", "surrogatepass"))
    return f"asgi_llm:{whose.hexdigest()[:32]}:{key}"
