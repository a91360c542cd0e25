"""Kept responses: shown, replayed, deleted, and the input they answered."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.fold import unfold
from asgi_llm.pipeline.handle import handle
from asgi_llm.runtime import Runtime
from asgi_llm.stores.responses import ResponseRow
from asgi_llm.stores.scope import Scope

from .asked import read_asked
from .background import RUNNING, finish_as, follow, recovered, until_ended
from .compaction import compacted, compaction_body
from .edit import edit_event, edited
from .errand import Errand, errand_exchange
from .expansion import missing
from .history import History
from .ids import new_id
from .native import Compacting, compacts_there
from .pins import unreachable
from .records import Kept, unseal
from .views import Page, deleted, list_view

__all__ = ["cancel", "compact", "delete", "input_items", "load", "stream"]

_BEGUN = {"status": b'"in_progress"', "output": b"[]", "usage": b"null", "completed_at": b"null"}


class _Item(Struct):
    id: str | None = None


class _Shape(Struct):
    model: str = ""
    output: list[_Item] = []


class _Last(Struct):
    response: _Shape


_shape = msgspec.json.Decoder(_Shape)
_last = msgspec.json.Decoder(_Last)


async def load(history: History, scope: Scope, response_id: str) -> Kept:
    """
    Raises:
        ClientError: it is not there.
        StoreError: the store failed.
    """
    kept = unseal(history.vault, (await _row(history, scope, response_id)).data, Kept)
    if kept.pin is not None:
        raise unreachable()
    return kept


async def _row(history: History, scope: Scope, response_id: str) -> ResponseRow:
    row = await history.store.get(scope, response_id, history.now())
    if row is None:
        raise missing("Response", response_id, "response_not_found", "id")
    return await recovered(history, scope, row)


async def delete(history: History, scope: Scope, response_id: str) -> Mapping[str, Any]:
    if not await history.store.delete(scope, response_id, history.now()):
        raise missing("Response", response_id, "response_not_found", "id")
    return deleted(response_id, "response")


async def cancel(history: History, scope: Scope, response_id: str) -> Kept:
    """Ends it, wherever it runs. Once cancelled it stays so, however often that is said.

    Raises:
        ClientError: it is not there, does not run in the background, or has ended already.
    """
    row = await history.store.get(scope, response_id, history.now())
    if row is None:
        raise missing("Response", response_id, "response_not_found", "id")
    ended = {"completed_at": b"null"}
    if row.status in RUNNING and await finish_as(history, scope, row, "cancelled", ended):
        run = history.runs.get((scope, response_id))
        if run is not None and run.task is not None:
            run.task.cancel()
    row = await history.store.get(scope, response_id, history.now())
    if row is None or row.status != "cancelled":
        raise ClientError(
            "Only responses that run in the background can be cancelled.", code="response_not_cancellable", param="id"
        )
    return unseal(history.vault, row.data, Kept)


async def input_items(history: History, scope: Scope, response_id: str, page: Page) -> Mapping[str, Any]:
    """The items that it answered: those of the responses that it builds upon, as far as they are still there, and those
    that were new in its request.

    Raises:
        ClientError: it is not there, or there is too much of it.
    """
    row = await _row(history, scope, response_id)
    items = list(unseal(history.vault, row.data, Kept).input)
    if row.parent is not None:
        try:
            items = [*(await history.expansion(scope, history.now()).response(row.parent)).items, *items]
        except ClientError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
    if page.descending:
        items.reverse()
    if page.after is not None:
        places = [place for place, item in enumerate(items, 1) if item.id == page.after]
        if not places:
            raise missing("Item", page.after, "item_not_found", "after")
        items = items[places[0] :]
    return list_view(items[: page.limit], more=len(items) > page.limit)


async def compact(runtime: Runtime, history: History, exchange: Exchange, caller: Caller) -> tuple[int, bytes]:
    """Status and body. What the model says to it is metered and limited like any other answer.

    Raises:
        ClientError: the request is not what the API takes, or refers to what is not there.
    """
    asked, now = read_asked(exchange.body), history.now()
    if history.settings.native == "verbatim" and await compacts_there(runtime, history, exchange, caller, asked):
        compacting = Compacting(caller, exchange)
        await handle(runtime, compacting.exchange, compacting)
        return compacting.status, compacting.answered
    earlier, new = await history.read(Scope.of(exchange.identity), asked, now)
    items = [*earlier.items, *new]
    if not asked.model or not items:
        field = "input" if asked.model else "model"
        raise ClientError(f"{field} is missing", code=f"{field}_required", param=field)
    errand = Errand(caller, exchange.identity, compaction_body(asked.model, asked.instructions, items))
    await handle(runtime, errand_exchange(exchange, "response_compact"), errand)
    if errand.status != 200:
        return errand.status, errand.answered
    return 200, compacted(errand.answered, new_id("resp_", now), now, items)


async def stream(history: History, scope: Scope, response_id: str, after: int | None) -> AsyncIterator[bytes]:
    """Its stream: from the log where there is one, else told anew.

    Raises:
        ClientError: it is not there, or there is no log and it is to be taken up in the middle.
    """
    kept = await load(history, scope, response_id)
    if kept.logged:
        return follow(history, scope, response_id, -1 if after is None else after)
    if after is not None:
        raise ClientError(
            "Only the streams of responses that run in the background can be taken up in the middle.",
            code="response_not_resumable",
            param="starting_after",
        )
    return _told(history, scope, response_id)


async def _told(history: History, scope: Scope, response_id: str) -> AsyncIterator[bytes]:
    async for comment in until_ended(history, scope, response_id):
        yield comment
    yield _replayed(await load(history, scope, response_id))


def _replayed(found: Kept) -> bytes:
    kept = bytes(found.response)
    dialect, said = DIALECTS["responses"], _shape.decode(kept)
    try:
        events = unfold(dialect.decode_response(kept, Restore()))
        stream = dialect.stream_encoder(Answer(model=said.model)).feed(events)
    except AsgiLLMError as error:  # a response that failed is told as one
        return edit_event(dialect.encode_failure(error), lambda data: edited(data, {"response": kept}))
    begun = edited(kept, _BEGUN)
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n") if frame]
    # The items were told under other ids, in the same order.
    last = _last.decode(frames[-1][frames[-1].index(b"{") :])
    for minted, item in zip(last.response.output, said.output, strict=False):
        if minted.id and item.id:
            frames = [frame.replace(minted.id.encode(), item.id.encode()) for frame in frames]
    told = [edit_event(frame, lambda data: edited(data, {"response": begun})) for frame in frames[:2]]
    return b"".join(told + frames[2:-1]) + edit_event(frames[-1], lambda data: edited(data, {"response": kept}))
