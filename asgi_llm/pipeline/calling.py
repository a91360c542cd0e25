"""One call of a hook: not longer than it may take, and with what it may do if it fails."""

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from asgi_llm.errors import Kind
from asgi_llm.hooks import Hook, Refused

__all__ = ["asking", "call"]

logger = logging.getLogger("asgi_llm.hooks")

_T = TypeVar("_T")
_asking: ContextVar[bool] = ContextVar("asgi_llm.asking", default=False)
"""Whether what runs was begun by a hook. Tasks that it starts inherit this."""


def asking() -> bool:
    """Whether this is a request that a hook makes itself."""
    return _asking.get()


async def call(hook: Hook, work: Coroutine[Any, Any, _T]) -> _T | None:
    """What the hook says; None where it failed and is open.

    Raises:
        Refused: it says no, or it failed and is closed.
    """
    token = _asking.set(True)
    try:
        async with asyncio.timeout(hook.timeout or None):
            return await work
    except Refused:
        raise
    except Exception as error:
        if hook.on_failure == "open":
            logger.warning("the hook %r failed and was passed over", hook, exc_info=error)
            return None
        logger.exception("the hook %r failed", hook)
        raise Refused(
            "a check that all must pass does not work now; try again later",
            code="hook_failed",
            kind=Kind.OVERLOADED,
            retry_after=5,
        ) from error
    finally:
        _asking.reset(token)
