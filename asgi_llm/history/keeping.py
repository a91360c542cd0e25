"""What is done to an answer that is to be kept: it gets the gateway's ids, and is written before its end is sent."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.dialects.interface import Warned
from asgi_llm.errors import StoreError
from asgi_llm.exchange import Exchange
from asgi_llm.stores.responses import ItemRow, ResponseRow, Status
from asgi_llm.types import Headers

from .continuation import Continuation, credential_of, maker_of
from .expansion import output_of
from .ids import item_id
from .records import Kept, Upstream
from .shape import Shape

if TYPE_CHECKING:
    from .history import History

__all__ = ["Keeping"]

logger = logging.getLogger("asgi_llm")

_encode = msgspec.json.Encoder().encode


class _Said(Struct):
    """What is read of a response object."""

    status: Status | None = None


_said = msgspec.json.Decoder(_Said)


class Keeping:
    """See ``Ending``: keeps the answer to ``continuation``."""

    __slots__ = ("_continuation", "_exchange", "_history", "_shape")

    def __init__(self, history: "History", exchange: Exchange, continuation: Continuation) -> None:
        self._history = history
        self._exchange = exchange
        self._continuation = continuation
        self._shape = Shape(continuation.body, continuation.created)

    def members(self, response: bytes) -> Mapping[str, bytes]:
        asked, conversation = self._continuation.asked, self._continuation.asked.conversation_id
        values = {
            **self._shape.lacking(response, self._history.now()),
            "id": _encode(self._continuation.id),
            "previous_response_id": _encode(asked.previous_response_id),
            "conversation": _encode(None if conversation is None else {"id": conversation}),
            "store": b"true" if self._continuation.store else b"false",
        }
        if asked.metadata and bytes(asked.metadata) != b"null":
            # Not every upstream is told, and so not every one says it again.
            values["metadata"] = bytes(asked.metadata)
        if asked.truncates:
            values["truncation"] = b'"auto"'
        if asked.background:
            values["background"] = b"true"
        return values

    async def keep(self, response: bytes, upstream_id: str) -> Mapping[str, bytes]:
        continuation, history = self._continuation, self._history
        leg = self._exchange.leg
        upstream = None
        if leg is not None and continuation.referred and upstream_id:
            upstream = Upstream(leg.crew.target.name, credential_of(leg), upstream_id)
        maker = "" if leg is None else maker_of(leg)
        logged = bool(continuation.asked.background and continuation.asked.stream)
        kept = Kept(Raw(response), tuple(continuation.new), maker, upstream, logged)
        try:
            row = history.row(continuation, kept, _status(response))
            added = self._added(kept) if row.conversation is not None else []
        except msgspec.MsgspecError:
            logger.warning("request %s: the answer is no response, and is not kept", self._exchange.id)
            return {"store": b"false"}
        values = await self._put(row, added)
        local = continuation.local
        if local is not None and row.status != "failed" and (not continuation.store or "store" in values):
            whole = [*continuation.earlier, *continuation.new, *output_of(kept)]
            local.remember(continuation.scope, continuation.id, whole)
        return values

    async def _put(self, row: ResponseRow, added: list[ItemRow]) -> Mapping[str, bytes]:
        """Members of the response that say what became of it."""
        continuation, history = self._continuation, self._history
        if len(row.data) > history.settings.max_response:
            logger.warning("request %s: a response of %d bytes is not kept", self._exchange.id, len(row.data))
            return {"store": b"false"}
        try:
            if not continuation.store:
                if row.conversation is not None:
                    await history.store.add_items(continuation.scope, row.conversation, added, continuation.created)
                return {}
            if continuation.asked.background:
                running = await history.store.finish(continuation.scope, row, added=added)
                return {} if running else {"status": b'"cancelled"'}
            kept_so = await history.store.put(continuation.scope, row, added=added, kept=continuation.parents)
        except StoreError as error:
            if history.settings.required:
                raise
            logger.warning("request %s: the response is not kept: %r", self._exchange.id, error.__cause__)
            return {"store": b"false"}
        return {} if kept_so else {"store": b"false"}

    def warnings(self) -> tuple[tuple[Warned, ...], Headers]:
        return self._continuation.warnings(), []

    def _added(self, kept: Kept) -> list[ItemRow]:
        """What is added to the conversation. There are servers that give the items of each answer the same ids; those
        are new items all the same."""
        continuation = self._continuation
        known = {item.id for item in (*continuation.earlier, *continuation.new)}
        made = [
            structs.replace(item, id=item_id("", continuation.created)) if item.id in known else item
            for item in output_of(kept)
        ]
        return self._history.items([*continuation.new, *made])


def _status(response: bytes) -> Status:
    """How it ended; where a server says that in a word of its own, it is an answer all the same."""
    try:
        return _said.decode(response).status or "completed"
    except msgspec.ValidationError:
        return "completed"
