"""Takes what this gateway wrote in Anthropic's place out of a body that is otherwise passed on as it is.

A conversation can begin at an upstream of another dialect and go on at one that checks what only it can have written,
and would refuse the whole request: thoughts that the gateway signed because clients replay only signed ones, and
searches that another provider ran. The first go, the latter become text; every other byte stays.
Spec: Anthropic Messages API, "Extended thinking", validation of signatures; "Web search tool".
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.splice import replace_member
from asgi_llm.neutral.request import ServerResult

from .blocks import parts_of_block
from .search import is_foreign_id
from .signatures import PREFIX, is_ours

__all__ = ["without_own_marks"]

_MARK = PREFIX.encode()


class _Body(Struct):
    messages: list[Raw] = []


class _Message(Struct):
    content: list[Raw] = []


class _Block(Struct):
    type: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    tool_use_id: str = ""
    citations: list[Raw] | None = None


_body = msgspec.json.Decoder(_Body)
_message = msgspec.json.Decoder(_Message)
_block = msgspec.json.Decoder(_Block)


def without_own_marks(body: bytes) -> bytes:
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
    # A search that found nothing bears no mark but its id.
    if _MARK not in message and b'"srvtoolu_ws_' not in message:
        return message
    try:
        blocks = _message.decode(message).content
    except msgspec.ValidationError:
        return message  # its content is a string
    kept = [_told(block) for block in blocks]
    if kept == [bytes(block) for block in blocks]:
        return message
    kept = [block for block in kept if block]
    return replace_member(message, "content", b"[%b]" % b",".join(kept)) if kept else b""


def _told(raw: Raw) -> bytes:
    """The block as it may be sent; nothing where it may not."""
    data = bytes(raw)
    try:
        block = _block.decode(raw)
    except msgspec.ValidationError:
        return data
    match block.type:
        case "thinking" | "redacted_thinking" if is_ours(block.signature or block.data):
            return b""
        case "server_tool_use" if is_foreign_id(block.id):
            return b""
        case "web_search_tool_result" if is_foreign_id(block.tool_use_id):
            return _found(raw)
        case "text" if block.citations and _MARK in data:
            return _uncited(raw)
        case _:
            return data


def _found(raw: Raw) -> bytes:
    text = "".join(part.text for part in parts_of_block(raw, "content") if isinstance(part, ServerResult))
    return msgspec.json.encode({"type": "text", "text": text}) if text else b""


def _uncited(raw: Raw) -> bytes:
    """Text with those of its citations that Anthropic made."""
    block = msgspec.json.decode(raw, type=dict[str, Raw])
    own = [cited for cited in _block.decode(raw).citations or () if _MARK not in bytes(cited)]
    rest = {name: value for name, value in block.items() if name != "citations"}
    return msgspec.json.encode({**rest, "citations": own} if own else rest)
