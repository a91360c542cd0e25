"""Takes what only this gateway can read out of a body that is otherwise passed on as it is.

A conversation can begin at an upstream of another dialect, whose proofs of thought the gateway put into
``encrypted_content``, and go on at one that reads that field itself and would refuse the whole request. A conversation
that was folded into readable text goes on as that text. Every other byte stays.
OpenAI Responses API reference, "Input items".
"""

import msgspec
from msgspec import Struct

from asgi_llm.dialects.spans import AmbiguousError, Edits, Span, items, members

from .envelope import PREFIX, is_envelope, unpack

__all__ = ["without_own_proofs"]

_MARK = PREFIX.encode()


class _Item(Struct):
    type: str = ""
    encrypted_content: str = ""


_item = msgspec.json.Decoder(_Item)


def without_own_proofs(body: bytes) -> bytes:
    """``body`` without them. What is not as the API takes it is left to the upstream to judge."""
    if body.find(_MARK) < 0:  # `in` makes an exception for itself before it looks
        return body
    edits, thoughts = Edits(body), []
    try:
        given = members(body)["input"]
        listed = items(body, given.value, given.end)
        for place, span in enumerate(listed):
            item = _own(body, span)
            if item is not None and item.type == "reasoning":
                thoughts.append(place)
            elif item is not None and (summary := _summary(item.encrypted_content)):
                edits.replace(*span, summary)
    except (AmbiguousError, KeyError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    edits.remove(listed, thoughts)
    return edits.apply()


def _own(body: bytes, span: Span) -> _Item | None:
    """The item, where its encrypted content is ours."""
    data = body[span.start : span.end]
    if _MARK not in data:
        return None
    try:
        item = _item.decode(data)
    except msgspec.ValidationError:
        return None
    return item if is_envelope(item.encrypted_content) else None


def _summary(encrypted: str) -> bytes | None:
    """What a compaction of ours says, as a user's message."""
    envelope = unpack(encrypted)
    carriers = envelope.carriers if envelope is not None else ()
    text = "\n\n".join(carrier.data for carrier in carriers if carrier.kind == "text.replay")
    if not text:
        return None
    content = [{"type": "input_text", "text": text}]
    return msgspec.json.encode({"type": "message", "role": "user", "content": content})
