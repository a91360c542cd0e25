"""Conversations: made, shown, changed and deleted, with their items."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.stores.responses import ConversationRow
from asgi_llm.stores.scope import Scope

from .asked import new_items
from .expansion import missing
from .history import History
from .ids import new_id
from .records import KeptConversation, KeptItem, unseal
from .views import Page, deleted, item_view, list_view

__all__ = ["add_items", "change", "create", "delete", "delete_item", "item", "items", "show"]

_MOST_ITEMS = 20
_MOST_PAIRS = 16
_NULL = Raw(b"null")
_encode = msgspec.json.Encoder().encode


class _Body(Struct):
    items: Raw = _NULL
    metadata: dict[str, str] | None = None


_body = msgspec.json.Decoder(_Body)


async def create(history: History, scope: Scope, body: bytes) -> Mapping[str, Any]:
    asked, now = _read(body), history.now()
    fresh = await _items(history, scope, asked, now)
    kept = KeptConversation(asked.metadata or {})
    row = ConversationRow(
        id=new_id("conv_", now), created=now, expires=history.expires(now), data=history.vault.seal(_encode(kept))
    )
    await history.store.add_conversation(scope, row, history.items(fresh))
    return _view(row, kept)


async def show(history: History, scope: Scope, name: str) -> Mapping[str, Any]:
    row = await _find(history, scope, name)
    return _view(row, unseal(history.vault, row.data, KeptConversation))


async def change(history: History, scope: Scope, name: str, body: bytes) -> Mapping[str, Any]:
    kept = KeptConversation(_read(body).metadata or {})
    row = await _find(history, scope, name)
    if not await history.store.set_conversation(scope, name, history.vault.seal(_encode(kept)), history.now()):
        raise _missing(name)
    return _view(row, kept)


async def delete(history: History, scope: Scope, name: str) -> Mapping[str, Any]:
    if not await history.store.delete_conversation(scope, name, history.now()):
        raise _missing(name)
    return deleted(name, "conversation.deleted")


async def items(history: History, scope: Scope, name: str, page: Page) -> Mapping[str, Any]:
    now = history.now()
    rows = await history.store.items(
        scope, name, now, limit=page.limit + 1, after=page.after, descending=page.descending
    )
    if rows is None:
        await _find(history, scope, name)
        raise missing("Item", page.after or "", "item_not_found", "after")
    found = [unseal(history.vault, row.data, KeptItem) for row in rows]
    return list_view(found[: page.limit], more=len(found) > page.limit)


async def add_items(history: History, scope: Scope, name: str, body: bytes) -> Mapping[str, Any]:
    """The items that were added."""
    now = history.now()
    fresh = await _items(history, scope, _read(body), now)
    if not fresh:
        raise ClientError("items: expected a list of items.", code="invalid_request", param="items")
    if not await history.store.add_items(scope, name, history.items(fresh), now):
        raise _missing(name)
    return list_view(fresh, more=False)


async def item(history: History, scope: Scope, name: str, item_id: str) -> bytes:
    row = await history.store.item(scope, name, item_id, history.now())
    if row is None:
        await _find(history, scope, name)
        raise missing("Item", item_id, "item_not_found", "item_id")
    return item_view(unseal(history.vault, row.data, KeptItem))


async def delete_item(history: History, scope: Scope, name: str, item_id: str) -> Mapping[str, Any]:
    """The conversation that it was in."""
    if not await history.store.delete_item(scope, name, item_id, history.now()):
        await _find(history, scope, name)
        raise missing("Item", item_id, "item_not_found", "item_id")
    return await show(history, scope, name)


def _read(body: bytes) -> _Body:
    try:
        asked = _body.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        where = str(error).partition("`$.")[2].partition("`")[0].partition("[")[0] or None
        raise ClientError(f"{where or 'the body'}: {str(error).partition(' - at')[0][:200]}", param=where) from None
    if len(asked.metadata or {}) > _MOST_PAIRS:
        raise ClientError(f"metadata: at most {_MOST_PAIRS} pairs.", code="invalid_value", param="metadata")
    if asked.metadata and any(len(key) > 64 or len(value) > 512 for key, value in asked.metadata.items()):
        said = "metadata: at most 64 characters of a key and 512 of a value."
        raise ClientError(said, code="invalid_value", param="metadata")
    return asked


async def _items(history: History, scope: Scope, asked: _Body, now: float) -> list[KeptItem]:
    if bytes(memoryview(asked.items)[:1]) == b'"':
        raise ClientError("items: expected a list of items.", code="invalid_request", param="items")
    fresh = new_items(asked.items, "items", now)
    if len(fresh) > _MOST_ITEMS:
        raise ClientError(f"items: at most {_MOST_ITEMS} at once.", code="invalid_value", param="items")
    return await history.expansion(scope, now).references(fresh, [])


async def _find(history: History, scope: Scope, name: str) -> ConversationRow:
    row = await history.store.conversation(scope, name, history.now())
    if row is None:
        raise _missing(name)
    return row


def _missing(name: str) -> ClientError:
    return missing("Conversation", name, "conversation_not_found", "conversation_id")


def _view(row: ConversationRow, kept: KeptConversation) -> Mapping[str, Any]:
    return {"id": row.id, "object": "conversation", "created_at": int(row.created), "metadata": kept.metadata}
