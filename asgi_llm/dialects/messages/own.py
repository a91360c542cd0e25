"""Takes thoughts that this gateway signed out of a body that is otherwise passed on as it is.

A conversation can begin at an upstream of another dialect, whose thoughts the gateway signed because clients replay
only signed ones, and go on at one that checks signatures and would refuse the whole request. Every other byte stays.
Spec: Anthropic Messages API, "Extended thinking", validation of signatures.
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.splice import replace_member

from .signatures import PREFIX, is_ours

__all__ = ["without_own_thoughts"]

_MARK = PREFIX.encode()


class _Body(Struct):
    messages: list[Raw] = []


class _Message(Struct):
    content: list[Raw] = []


class _Block(Struct):
    type: str = ""
    signature: str = ""
    data: str = ""


_body = msgspec.json.Decoder(_Body)
_message = msgspec.json.Decoder(_Message)
_block = msgspec.json.Decoder(_Block)


def without_own_thoughts(body: bytes) -> bytes:
    """``body`` without them, and without messages that held nothing else. A body that is not what the API takes is
    left to the upstream to judge."""
    if body.find(_MARK) < 0:  # `in` makes an exception for itself before it looks
        return body
    try:
        messages = _body.decode(body).messages
        kept = [edited for message in messages if (edited := _edited(bytes(message)))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    return replace_member(body, "messages", b"[%b]" % b",".join(kept)) if messages else body


def _edited(message: bytes) -> bytes:
    if _MARK not in message:
        return message
    try:
        blocks = _message.decode(message).content
    except msgspec.ValidationError:
        return message  # its content is a string
    kept = [bytes(block) for block in blocks if not _is_own(block)]
    if len(kept) == len(blocks):
        return message
    return replace_member(message, "content", b"[%b]" % b",".join(kept)) if kept else b""


def _is_own(raw: Raw) -> bool:
    if _MARK not in bytes(raw):
        return False
    try:
        block = _block.decode(raw)
    except msgspec.ValidationError:
        return False
    return block.type in ("thinking", "redacted_thinking") and is_ours(block.signature or block.data)
