"""What is kept, as the API shows it: items, lists of them, conversations."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError

from .edit import edited
from .records import KeptItem

__all__ = ["Page", "deleted", "item_view", "list_view", "read_page"]

_MOST = 100
_encode = msgspec.json.Encoder().encode


class Page(Struct, frozen=True):
    """Which part of a list is wanted."""

    limit: int = 20
    after: str | None = None
    descending: bool = True


class _Item(Struct):
    type: str | None = None
    role: str | None = None
    content: Raw = Raw()
    status: Raw = Raw()


_item = msgspec.json.Decoder(_Item)


def read_page(query: bytes) -> Page:
    """The page that a query string asks for.

    Raises:
        ClientError: ``limit`` or ``order`` is not what the API takes.
    """
    said = {name.decode("latin-1"): values[-1] for name, values in parse_qs(query).items()}
    limit, order = said.get("limit", b"20"), said.get("order", b"desc")
    if not limit.isdigit() or len(limit) > 3 or not 1 <= int(limit) <= _MOST:
        raise ClientError(f"limit: expected a number from 1 to {_MOST}.", code="invalid_value", param="limit")
    if order not in (b"asc", b"desc"):
        raise ClientError("order: expected asc or desc.", code="invalid_value", param="order")
    after = said.get("after")
    return Page(int(limit), after.decode("utf-8", "replace") if after else None, order == b"desc")


def item_view(kept: KeptItem) -> bytes:
    """The item with all that typed clients want of one, however short the caller wrote it."""
    item = _item.decode(kept.item)
    values: dict[str, bytes] = {"id": _encode(kept.id)}
    if item.type in (None, "message"):
        values["type"] = b'"message"'
        if not item.status:
            values["status"] = b'"completed"'
        if bytes(memoryview(item.content)[:1]) == b'"':
            part: dict[str, Any] = {"type": "input_text", "text": item.content}
            if item.role == "assistant":
                part = {"type": "output_text", "text": item.content, "annotations": []}
            values["content"] = _encode([part])
    return edited(bytes(kept.item), values)


def list_view(items: list[KeptItem], *, more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [Raw(item_view(item)) for item in items],
        "first_id": items[0].id if items else None,
        "last_id": items[-1].id if items else None,
        "has_more": more,
    }


def deleted(name: str, kind: str) -> Mapping[str, Any]:
    return {"id": name, "object": kind, "deleted": True}
