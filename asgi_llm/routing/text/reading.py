"""Reads the members of a body that a struct names, and puts up with all others being anything."""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

__all__ = ["read", "reader"]

LIMIT = 1 << 20
"""Bytes of a list that is gone through item by item when it cannot be read as a whole. A longer one is left out: nobody
shall keep the event loop busy with nonsense."""

T = TypeVar("T", bound=Struct)

_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])


def reader(kind: type[T]) -> "msgspec.json.Decoder[T]":
    """A decoder for ``read``; every member of ``kind`` has a default."""
    return msgspec.json.Decoder(kind)


def read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """What ``body`` holds. Members, and items of lists, that are not what they should be are left out."""
    try:
        return decoder.decode(body)
    except _ERRORS:
        return _salvage(decoder.type, body)


def _salvage(kind: type[T], body: bytes) -> T:
    try:
        members = _members.decode(body)
    except _ERRORS:
        return kind()
    found = {}
    for member in msgspec.structs.fields(kind):
        if member.encode_name in members:
            raw = members[member.encode_name]
            try:
                found[member.name] = msgspec.json.decode(raw, type=member.type)
            except _ERRORS:
                found[member.name] = _salvage_items(raw, member.type, member.default)
    return kind(**found)


def _salvage_items(raw: Raw, kind: object, otherwise: object) -> object:
    try:
        items = _items.decode(raw) if len(memoryview(raw)) <= LIMIT else []
    except _ERRORS:
        items = []
    found = []
    for item in items:
        try:
            # Within brackets an item is read by the type of the whole list, whatever else that type allows.
            found += msgspec.json.decode(b"[" + bytes(item) + b"]", type=kind)
        except _ERRORS:
            continue
    return found or (None if otherwise is None else [])
