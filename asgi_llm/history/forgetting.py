"""Forgetting somebody whose responses and conversations are kept by upstreams: they are asked to delete them."""

import asyncio
import logging

from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import StoreError, UpstreamError
from asgi_llm.exchange import Exchange
from asgi_llm.identity import Identity
from asgi_llm.runtime import Runtime
from asgi_llm.stores.scope import Scope

from .elsewhere import answer_elsewhere
from .errand import Errand
from .history import History

__all__ = ["forget_elsewhere"]

logger = logging.getLogger("asgi_llm")

_AT_ONCE = 8


class _Nobody(Errand):
    """See ``Caller``: the gateway itself wants it."""

    __slots__ = ()

    def __init__(self) -> None:
        self.scope = {"type": "http", "method": "DELETE", "path": "/", "query_string": b"", "headers": []}
        self.headers, self.fields = [], {}
        self.started = self.queued = False
        self.status, self.answered, self._body = 0, b"", b""


async def forget_elsewhere(runtime: Runtime, history: History, identity: Identity) -> int:
    """Deletes all that is kept of ``identity``, here and there; how much that was. Where an upstream does not answer,
    or is not asked any more, what is kept here goes all the same, and the log says so.

    Raises:
        StoreError: the store failed.
    """
    scope, count = Scope.of(identity), 0
    while True:
        made, begun = await history.store.listed(scope, _AT_ONCE)
        gone = await asyncio.gather(
            *(_forget(runtime, history, identity, "response", row.id) for row in made),
            *(_forget(runtime, history, identity, "conversation", row.id) for row in begun),
        )
        if not any(gone):
            return count
        count += sum(gone)


async def _forget(runtime: Runtime, history: History, identity: Identity, kind: str, name: str) -> bool:
    dialect, now = DIALECTS["responses"], runtime.loop.time()
    exchange = Exchange(id=runtime.new_id(), endpoint=kind, dialect=dialect, started=now, identity=identity)
    runtime.active += 1
    try:
        if await answer_elsewhere(runtime, history, exchange, _Nobody(), name, b""):
            return True
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, what is kept here goes
        lost = isinstance(error, UpstreamError) and error.upstream_status == 404
        logger.log(logging.INFO if lost else logging.WARNING, "%s %s may still be kept upstream: %r", kind, name, error)
    finally:
        runtime.active -= 1
        if runtime.stopping:
            runtime.left()
    store, scope = history.store, Scope.of(identity)
    if kind == "conversation":
        await store.delete_conversation(scope, name, 0)
    else:
        await store.delete(scope, name, 0)
    return True
