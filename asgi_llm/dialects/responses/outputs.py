"""Output items, whole. The same functions write them for a JSON answer and at the end of their ladder in a stream.

OpenAI Responses API reference, "Output items".
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.request import Carrier, Citation, Compaction, ServerCall, ToolCall
from asgi_llm.neutral.response import Finish

from .envelope import Envelope, pack
from .ids import legal_item_id
from .wire import encode_line, is_json

__all__ = [
    "Ids",
    "Outcome",
    "annotation",
    "call_carriers",
    "call_item",
    "call_kind",
    "compaction_item",
    "image_item",
    "is_typed",
    "logprobs_array",
    "message_item",
    "outcome",
    "proof",
    "reasoning_item",
    "search_item",
    "text_carriers",
    "typed_item",
]

_TYPED = {
    "apply_patch": ("apply_patch_call", "operation", "apc_"),
    "shell": ("shell_call", "action", "sh_"),
    "local_shell": ("local_shell_call", "action", "lsh_"),
    "computer": ("computer_call", "action", "cu_"),
}


class Ids:
    """Ids of one answer: the upstream's own where they are legal and new, else minted."""

    __slots__ = ("_mint", "_seen")

    def __init__(self, mint: Callable[[str], str]) -> None:
        self._mint = mint
        self._seen: set[str] = set()

    def item(self, prefix: str, known: str | None = None) -> str:
        legal = legal_item_id(known, prefix)
        return self._take(legal if legal is not None and legal not in self._seen else self._mint(prefix))

    def call(self, known: str) -> str:
        """A call id goes out as it is, so that it means the same upstream when it comes back; it is never empty
        and never there twice."""
        return self._take(known if known and known not in self._seen else self._mint("call_"))

    def _take(self, value: str) -> str:
        self._seen.add(value)
        return value


class Outcome(Struct, frozen=True):
    """How an answer ends: its status, and the reason where it is incomplete. ``refusal`` is text still to be said."""

    status: str
    incomplete: str | None = None
    refusal: str | None = None


def outcome(finish: Finish, *, refused: bool) -> Outcome:
    """``refused`` says that the answer holds the model's own refusal."""
    match finish.reason:
        case "max_tokens" | "context_full":
            return Outcome("incomplete", "max_output_tokens")
        case "filtered":
            return Outcome("incomplete", "content_filter")
        case "refusal" if refused:
            return Outcome("completed")
        case "refusal" if finish.detail:
            return Outcome("completed", refusal=finish.detail)
        case "refusal":
            return Outcome("incomplete", "content_filter")
        case "malformed_call":
            return Outcome("failed")
        case _:
            return Outcome("completed")


def message_item(item_id: str, content: list[Any], status: str, phase: str | None = None) -> dict[str, Any]:
    item = {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}
    if phase is not None:
        item["phase"] = phase
    return item


def reasoning_item(item_id: str, summary: list[str], encrypted: str | None) -> dict[str, Any]:
    parts = [{"type": "summary_text", "text": text} for text in summary]
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": parts}
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item


def proof(carriers: tuple[Carrier, ...], *, raw_text: bool, redacted: bool) -> str | None:
    """What goes into ``encrypted_content``: OpenAI's own as it is, anything else in an envelope."""
    if not carriers:
        return None
    if len(carriers) == 1 and carriers[0].kind == "openai.encrypted":
        return carriers[0].data
    return pack(Envelope(carriers, raw_text=raw_text, redacted=redacted))


def call_carriers(carriers: tuple[Carrier, ...], call_id: str) -> str:
    """``encrypted_content`` of the reasoning item that keeps a tool call's carriers for it."""
    return pack(Envelope(carriers, call=call_id))


def text_carriers(carriers: tuple[Carrier, ...]) -> str:
    """``encrypted_content`` of the reasoning item that keeps the carriers of the text before it."""
    return pack(Envelope(carriers, text=True))


def call_kind(call: ToolCall) -> tuple[str, str, str]:
    """(item type, name of the field for what is passed, id prefix)."""
    if call.kind == "text":
        return "custom_tool_call", "input", "ctc_"
    return "function_call", "arguments", "fc_"


def call_item(call: ToolCall, item_id: str, call_id: str, passed: str, status: str) -> dict[str, Any]:
    kind, field, _ = call_kind(call)
    item = {"id": item_id, "type": kind, "status": status, "call_id": call_id, "name": call.name, field: passed}
    if call.namespace is not None:
        item["namespace"] = call.namespace
    return item


def typed_item(call: ToolCall, passed: str, ids: Ids, call_id: str) -> dict[str, Any] | None:
    """A call of a tool that this API defines; None when what was passed is no JSON object."""
    kind, field, prefix = _TYPED[call.typed or ""]
    if kind == "computer_call" and is_json(passed, "["):
        field = "actions"
    elif not is_json(passed):
        return None
    item_id = ids.item("" if call.item_id else prefix, call.item_id)
    said: Any = Raw(passed.encode())
    if kind == "local_shell_call":
        # Clients know the kind of the action by its type, and models were not told of it.
        said = {"type": "exec", "env": {}, **msgspec.json.decode(passed, type=dict[str, Raw])}
    item = {"id": item_id, "type": kind, "status": "completed", "call_id": call_id, field: said}
    if kind == "computer_call":
        item["pending_safety_checks"] = []
    return item


def is_typed(call: ToolCall) -> bool:
    return call.typed in _TYPED


def image_item(item_id: str, data: str) -> dict[str, Any]:
    return {"id": item_id, "type": "image_generation_call", "status": "completed", "result": data}


def compaction_item(part: Compaction, ids: Ids) -> dict[str, Any]:
    carrier = part.carrier
    if carrier is not None and carrier.kind == "openai.encrypted" and not part.text:
        data = carrier.data
    else:
        text = (Carrier("text.replay", part.text),) if part.text else ()
        data = pack(Envelope(text + ((carrier,) if carrier is not None else ())))
    return {
        "id": ids.item("cmp_", carrier.item_id if carrier else None),
        "type": "compaction",
        "encrypted_content": data,
    }


class _Query(Struct):
    query: str | None = None


def search_item(call: ServerCall, arguments: str, ids: Ids) -> dict[str, Any] | None:
    """Another provider's web search as an item of this API; None for anything else, which nobody here could read."""
    if call.kind != "web_search":
        return None
    try:
        query = msgspec.json.decode(arguments, type=_Query).query if arguments else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        query = None
    action = {"type": "search", "query": query or ""}
    return {"id": ids.item("ws_"), "type": "web_search_call", "status": "completed", "action": action}


def annotation(citation: Citation, length: int) -> Any:
    """A citation of a text of ``length`` code points as an annotation; None when it points at nothing on the web."""
    if citation.dialect == "responses" and citation.raw is not None:
        return citation.raw
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "start_index": 0 if citation.start is None else citation.start,
        "end_index": length if citation.end is None else citation.end,
        "url": citation.url,
        "title": citation.title or "",
    }


class _ChatLogprobs(Struct):
    content: Raw = Raw(b"null")


def logprobs_array(raw: Raw | None) -> bytes:
    """The elements of a log probability list, without its brackets; of Chat Completions' form likewise."""
    if raw is None:
        return b""
    data = bytes(raw).strip()
    if data[:1] == b"{":
        try:
            data = bytes(msgspec.json.decode(data, type=_ChatLogprobs).content)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return b""
    if data[:1] != b"[":
        return b""
    return encode_line(Raw(data))[1:-1]
