"""The ladder of each kind of output item in a stream: from ``output_item.added`` to ``output_item.done``.

A delta is written by a template: everything but its text is encoded once for each block.
"""

from typing import Any

from msgspec import Raw

from asgi_llm.neutral.request import Carrier, Citation, Reasoning, Refusal, ServerCall, Text, ToolCall

from .outputs import (
    Ids,
    annotation,
    call_carriers,
    call_item,
    call_kind,
    image_item,
    logprobs_array,
    message_item,
    proof,
    reasoning_item,
    search_item,
    typed_item,
)
from .wire import encode, encode_line

__all__ = ["CallBlock", "Items", "Ladder", "MediaBlock", "MessageBlock", "ReasoningBlock", "SearchBlock"]


class Ladder:
    """Events as they are written: numbered, gathered until taken. ``done`` holds the finished items, encoded."""

    __slots__ = ("_number", "_out", "done")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._number = 0
        self.done: list[bytes] = []

    def taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def event(self, name: str, members: bytes) -> None:
        """One event; ``members`` are its own members of the JSON object."""
        kind = name.encode()
        self._out.append(
            b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, self._number, members)
        )
        self._number += 1

    def delta(self, head: bytes, text: str, tail: bytes) -> None:
        """One delta by the block's template; ``head`` ends before the number, ``tail`` comes behind the text."""
        self._out.append(b"%b%d%b%b}\n\n" % (head, self._number, tail, encode(text)))
        self._number += 1

    def add(self, item: Any) -> int:
        """``output_item.added``; returns the item's place in the output."""
        index = len(self.done)
        self.event("response.output_item.added", b'"output_index":%d,"item":%b' % (index, encode_line(item)))
        return index

    def finish(self, item: Any) -> None:
        """``output_item.done`` of the item that is open."""
        data = encode_line(item)
        self.event("response.output_item.done", b'"output_index":%d,"item":%b' % (len(self.done), data))
        self.done.append(data)

    def whole(self, item: Any) -> None:
        """An item without deltas."""
        self.add(item)
        self.finish(item)

    def ran(self, item: dict[str, Any], work: str) -> None:
        """An item of a tool that its provider ran, told when all is over: its progress in between. ``work`` is what
        the tool does between its beginning and its end."""
        begun = {**item, "status": "in_progress", **({"result": None} if "result" in item else {})}
        place = b'"item_id":%b,"output_index":%d' % (encode(item["id"]), self.add(begun))
        for progress in ("in_progress", work, "completed"):
            self.event(f"response.{item['type']}.{progress}", place)
        self.finish(item)


class Items(Ladder):
    """The finished items only, for an answer that is no stream."""

    __slots__ = ()

    def event(self, name: str, members: bytes) -> None:
        pass

    def delta(self, head: bytes, text: str, tail: bytes) -> None:
        pass

    def add(self, item: Any) -> int:
        return len(self.done)


def _template(name: str, place: bytes) -> tuple[bytes, bytes]:
    kind = name.encode()
    head = b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind, kind)
    return head, b',%b,"delta":' % place


class MessageBlock:
    """A message item and its content parts."""

    __slots__ = ("_citations", "_content", "_id", "_kind", "_ladder", "_logprobs", "_place", "_template", "_texts")

    def __init__(self, ladder: Ladder, ids: Ids) -> None:
        self._ladder = ladder
        self._id = ids.item("msg_")
        self._content: list[Any] = []
        self._texts: list[str] = []
        self._citations: list[Citation] = []
        self._logprobs: list[bytes] = []
        self._kind = "output_text"
        self._place = b""
        self._template = (b"", b"")
        ladder.add(message_item(self._id, [], "in_progress"))

    def start(self, part: Text | Refusal) -> None:
        """The next content part."""
        refusal = isinstance(part, Refusal)
        self._kind = "refusal" if refusal else "output_text"
        self._place = b'"item_id":%b,"output_index":%d,"content_index":%d' % (
            encode(self._id),
            len(self._ladder.done),
            len(self._content),
        )
        self._template = _template(
            f"response.{self._kind}.delta", self._place + (b"" if refusal else b',"logprobs":[]')
        )
        self._ladder.event("response.content_part.added", self._place + b',"part":' + encode(self._part("", [], b"")))
        if part.text:
            self.delta(part.text, None)
        if isinstance(part, Text):
            self._citations.extend(part.citations)

    def delta(self, text: str, logprobs: Raw | None) -> None:
        if not text:
            return
        self._texts.append(text)
        head, tail = self._template
        if logprobs is not None and self._kind == "output_text":
            listed = logprobs_array(logprobs)
            if listed:
                self._logprobs.append(listed)
            tail = b',%b,"logprobs":[%b],"delta":' % (self._place, listed)
        self._ladder.delta(head, text, tail)

    def cite(self, citation: Citation) -> None:
        self._citations.append(citation)

    def stop(self) -> None:
        """The content part is complete."""
        text = "".join(self._texts)
        found = [annotation(citation, len(text)) for citation in self._citations]
        annotations = [entry for entry in found if entry is not None] if self._kind == "output_text" else []
        logprobs = b",".join(self._logprobs)
        for index, entry in enumerate(annotations):
            members = b'%b,"annotation_index":%d,"annotation":%b' % (self._place, index, encode_line(entry))
            self._ladder.event("response.output_text.annotation.added", members)
        part = Raw(encode_line(self._part(text, annotations, logprobs)))
        if self._kind == "refusal":
            self._ladder.event("response.refusal.done", b'%b,"refusal":%b' % (self._place, encode(text)))
        else:
            members = b'%b,"logprobs":[%b],"text":%b' % (self._place, logprobs, encode(text))
            self._ladder.event("response.output_text.done", members)
        self._ladder.event("response.content_part.done", self._place + b',"part":' + bytes(part))
        self._content.append(part)
        self._texts.clear()
        self._citations.clear()
        self._logprobs.clear()

    def close(self, status: str) -> None:
        self._ladder.finish(message_item(self._id, self._content, status))

    def _part(self, text: str, annotations: list[Any], logprobs: bytes) -> dict[str, Any]:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        listed = Raw(b"[%b]" % logprobs)
        return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": listed}


class ReasoningBlock:
    """A reasoning item. Readable thought of either kind goes into summary parts, which is what clients show."""

    __slots__ = (
        "_header",
        "_id",
        "_ladder",
        "_open",
        "_place",
        "_raw_text",
        "_summary",
        "_template",
        "_texts",
        "carriers",
    )

    def __init__(self, ladder: Ladder, part: Reasoning, ids: Ids) -> None:
        self._ladder = ladder
        self._header = part
        self.carriers: tuple[Carrier, ...] = part.carriers
        known = part.id or next((carrier.item_id for carrier in part.carriers if carrier.item_id), None)
        self._id = ids.item("rs_", known)
        self._summary: list[str] = []
        self._texts: list[str] = []
        self._open: tuple[bool, int] | None = None
        self._raw_text = False
        self._place = b""
        self._template = (b"", b"")
        ladder.add(reasoning_item(self._id, [], None))
        if part.text:
            self.delta(part.text, summary=False, part=0)
        for index, text in enumerate(part.summary):
            self.delta(text, summary=True, part=index)

    def delta(self, text: str, *, summary: bool, part: int) -> None:
        if not text:
            return
        key = (summary, part if summary else 0)
        if self._open != key:
            self._stop()
            self._start(key)
        self._texts.append(text)
        head, tail = self._template
        self._ladder.delta(head, text, tail)

    def close(self) -> None:
        self._stop()
        # Whether the summary is the thought itself matters when the item comes back: a signature is over the thought.
        raw_text = self._raw_text and len(self._summary) == 1
        encrypted = proof(self.carriers, raw_text=raw_text, redacted=self._header.redacted)
        self._ladder.finish(reasoning_item(self._id, self._summary, encrypted))

    def _start(self, key: tuple[bool, int]) -> None:
        self._open = key
        self._raw_text = not key[0]
        self._place = b'"item_id":%b,"output_index":%d,"summary_index":%d' % (
            encode(self._id),
            len(self._ladder.done),
            len(self._summary),
        )
        self._template = _template("response.reasoning_summary_text.delta", self._place)
        part = encode({"type": "summary_text", "text": ""})
        self._ladder.event("response.reasoning_summary_part.added", self._place + b',"part":' + part)

    def _stop(self) -> None:
        if self._open is None:
            return
        text = "".join(self._texts)
        self._ladder.event("response.reasoning_summary_text.done", b'%b,"text":%b' % (self._place, encode(text)))
        part = encode({"type": "summary_text", "text": text})
        self._ladder.event("response.reasoning_summary_part.done", self._place + b',"part":' + part)
        self._summary.append(text)
        self._texts.clear()
        self._open = None


class CallBlock:
    """A call of a function, a custom tool or a typed tool. What is passed to a typed tool is an object, not text, so
    its item comes whole."""

    __slots__ = ("_call", "_call_id", "_field", "_id", "_ids", "_ladder", "_place", "_template", "_texts", "carriers")

    def __init__(self, ladder: Ladder, call: ToolCall, ids: Ids, *, typed: bool) -> None:
        self._ladder = ladder
        self._call = call
        self._ids = ids
        self.carriers: tuple[Carrier, ...] = ()
        self._call_id = ids.call(call.id)
        self._texts: list[str] = []
        self._field = call_kind(call)[1]
        self._id = ""
        self._place = b""
        self._template: tuple[bytes, bytes] | None = None
        if call.carriers:
            self._keep(call.carriers)
        if not typed:
            self._start()
        if call.arguments:
            self.delta(call.arguments)

    def delta(self, text: str) -> None:
        if not text:
            return
        self._texts.append(text)
        if self._template is not None:
            head, tail = self._template
            self._ladder.delta(head, text, tail)

    def close(self) -> None:
        passed = "".join(self._texts)
        if self._template is None:
            typed = typed_item(self._call, passed, self._ids, self._call_id)
            if typed is not None:
                self._ladder.whole(typed)
                self._keep_late()
                return
            self._texts.clear()
            self._start()
            self.delta(passed)
        if self._field == "arguments" and not passed.strip():
            # No argument at all is the empty object, which clients parse without asking.
            self.delta("{}")
            passed += "{}"
        done = "response.function_call_arguments.done" if self._field == "arguments" else _CUSTOM_DONE
        self._ladder.event(done, b'%b,"%b":%b' % (self._place, self._field.encode(), encode(passed)))
        self._ladder.finish(call_item(self._call, self._id, self._call_id, passed, "completed"))
        self._keep_late()

    def _start(self) -> None:
        prefix = call_kind(self._call)[2]
        self._id = self._ids.item(prefix, self._call.item_id)
        index = self._ladder.add(call_item(self._call, self._id, self._call_id, "", "in_progress"))
        self._place = b'"item_id":%b,"output_index":%d' % (encode(self._id), index)
        name = "response.function_call_arguments.delta" if self._field == "arguments" else _CUSTOM_DELTA
        self._template = _template(name, self._place)

    def _keep(self, carriers: tuple[Carrier, ...]) -> None:
        item_id = self._ids.item("rs_")
        self._ladder.whole(reasoning_item(item_id, [], call_carriers(carriers, self._call_id)))

    def _keep_late(self) -> None:
        """Carriers that came during the call: their item can only stand behind it, and names the call."""
        if self.carriers:
            self._keep(self.carriers)


_CUSTOM_DELTA = "response.custom_tool_call_input.delta"
_CUSTOM_DONE = "response.custom_tool_call_input.done"


class SearchBlock:
    """Another provider's tool call: a web search has a counterpart here, anything else is left out."""

    __slots__ = ("_call", "_ids", "_ladder", "_texts")

    def __init__(self, ladder: Ladder, call: ServerCall, ids: Ids) -> None:
        self._ladder = ladder
        self._call = call
        self._ids = ids
        self._texts = [call.arguments]

    def delta(self, text: str) -> None:
        self._texts.append(text)

    def close(self) -> None:
        item = search_item(self._call, "".join(self._texts), self._ids)
        if item is not None:
            self._ladder.ran(item, "searching")


class MediaBlock:
    """An image that the model made."""

    __slots__ = ("_ids", "_ladder", "data")

    def __init__(self, ladder: Ladder, ids: Ids, data: str) -> None:
        self._ladder = ladder
        self._ids = ids
        self.data = [data]

    def close(self) -> None:
        self._ladder.ran(image_item(self._ids.item("ig_"), "".join(self.data)), "generating")
