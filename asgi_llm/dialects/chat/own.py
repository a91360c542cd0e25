"""Takes ``reasoning_details`` of this gateway's making out of a body that is otherwise passed on as it is.

A conversation can begin at an upstream of another dialect, whose proofs of thought the gateway put there, and go on at
one that reads the field itself or refuses fields it does not know. Every other byte stays.
"""

import msgspec
from msgspec import Struct

from asgi_llm.dialects.spans import AmbiguousError, Edits, Span, items, members

from .thoughts import OURS

__all__ = ["without_own_details"]

_MARK = OURS.encode()
_FIELD = "reasoning_details"


class _Entry(Struct):
    format: str = ""


_entry = msgspec.json.Decoder(_Entry)


def without_own_details(body: bytes) -> bytes:
    """``body`` without them. What is not as the API takes it is left to the upstream to judge."""
    if body.find(_MARK) < 0:  # `in` makes an exception for itself before it looks
        return body
    edits = Edits(body)
    try:
        messages = members(body)["messages"]
        for message in items(body, messages.value, messages.end):
            if _MARK in body[message.start : message.end]:
                _edit(body, message, edits)
    except (AmbiguousError, KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    return edits.apply()


def _edit(body: bytes, message: Span, edits: Edits) -> None:
    found = members(body, *message)
    if (details := found.get(_FIELD)) is None:
        return
    entries = items(body, details.value, details.end)
    ours = [place for place, entry in enumerate(entries) if _is_own(body[entry.start : entry.end])]
    if ours and len(ours) == len(entries):
        edits.remove([(member.start, member.end) for member in found.values()], [list(found).index(_FIELD)])
    else:
        edits.remove(entries, ours)


def _is_own(entry: bytes) -> bool:
    try:
        return _entry.decode(entry).format.startswith(OURS)
    except msgspec.ValidationError:
        return False
