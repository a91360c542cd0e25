"""Compacting a conversation: the model sums it up, and the summary stands for it from then on.

The summary is in a ``compaction`` item, as the API has it. Upstreams are told it as what it is, a text: the item is
the gateway's own and means nothing to them.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.interface import Answer
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import AsgiLLMError
from asgi_llm.neutral.request import Compaction
from asgi_llm.neutral.response import Candidate, Finish, Response

from .edit import listed
from .records import KeptItem
from .views import item_view

__all__ = ["compacted", "compaction_body", "plain"]

_ASK = (
    "Sum up this conversation so that it can go on without what was said so far. Keep what was asked, decided and "
    "found out, names, numbers, file names and code that still matter, and what remains to be done. Write the summary "
    "only."
)
_TOLD = "Summary of the conversation so far:\n\n"
_encode = msgspec.json.Encoder().encode


class _Part(Struct):
    text: str = ""


class _Item(Struct):
    type: str | None = None
    role: str | None = None
    content: Raw = Raw()


class _Answered(Struct):
    model: str = ""
    output: list[_Item] = []
    usage: Raw = Raw(b"null")


_answered = msgspec.json.Decoder(_Answered)
_parts = msgspec.json.Decoder(list[_Part])
_typed = msgspec.json.Decoder(_Item)


def compaction_body(model: str, instructions: Raw, items: list[KeptItem]) -> bytes:
    """The request that asks for the summary."""
    asked = _message(_ASK)
    body = {
        "model": model,
        "instructions": instructions,
        "input": Raw(listed([*(plain(bytes(item.item)) for item in items), asked])),
        "store": False,
    }
    return _encode(body)


def compacted(response: bytes, name: str, now: float, items: list[KeptItem]) -> bytes:
    """What is answered to whoever wanted it compacted: the user's last message and the summary."""
    said = _answered.decode(response)
    texts = [part.text for item in said.output if item.type == "message" for part in _parts.decode(item.content)]
    whole = Response(id="", model=said.model, candidates=(Candidate((Compaction("".join(texts)),), Finish("end")),))
    encoded = DIALECTS["responses"].encode_response(whole, Answer(model=said.model))
    summary = msgspec.json.decode(encoded, type=dict[str, Raw])["output"]
    (made,) = msgspec.json.decode(summary, type=list[Raw])
    last = [Raw(item_view(item)) for item in items if _is_users(item)][-1:]
    answer: dict[str, Any] = {
        "id": name,
        "object": "response.compaction",
        "created_at": int(now),
        "output": [*last, made],
        "usage": said.usage,
    }
    return _encode(answer)


def plain(item: bytes) -> bytes:
    """The item as an upstream understands it: a summary of the gateway's own as text, anything else as it is."""
    if b'"compaction"' not in item or _typed.decode(item).type != "compaction":
        return item
    try:
        request = DIALECTS["responses"].decode_request(b'{"model":"m","input":[%b]}' % item)
    except AsgiLLMError:
        return item  # whoever is asked says best what is wrong with it
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Compaction) and part.text:
                return _message(_TOLD + part.text)
    return item


def _is_users(kept: KeptItem) -> bool:
    item = _typed.decode(kept.item)
    return item.type in (None, "message") and item.role == "user"


def _message(text: str) -> bytes:
    part = {"type": "input_text", "text": text}
    return _encode({"type": "message", "role": "user", "content": [part]})
