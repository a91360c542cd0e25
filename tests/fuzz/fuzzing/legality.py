"""What a caller's client counts on, in answers and streams of each dialect. Written from the references of the APIs,
not from the encoders. Every check raises ``AssertionError`` with what is wrong."""

import json
from collections.abc import Callable
from typing import Any

from asgi_llm.dialects.sse import Frame, SSEReader

__all__ = ["check_answer", "check_error", "check_stream"]

_PARTS = {"output_text", "refusal", "reasoning_text", "summary_text"}
_PROGRESS = {"in_progress", "searching", "generating", "interpreting", "completed"}
"""What is told of a tool that its provider runs."""


def strict(data: bytes) -> Any:
    """JSON as the standard says it: UTF-8, no NaN."""
    return json.loads(data.decode(), parse_constant=_no_constant, parse_int=_int)


def _no_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _int(digits: str) -> int:
    return int(digits) if len(digits) < 100 else 10**100  # Python refuses to read very long ones


def check_stream(dialect: str, data: bytes, *, failed: bool) -> None:
    """``failed``: whether the answer broke off, which must show."""
    if dialect == "gemini":
        assert b"\nevent" not in data
        assert b"data: [DONE]" not in data
        lines = [line for line in data.split(b"\n") if line]
        # An error stands there once more, outside of any event.
        events = lines[:-1] if lines[-1:] and lines[-1].startswith(b'{"error":') else lines
        assert all(line.startswith(b"data: {") for line in events)
        assert failed or events == lines
        data = b"".join(line + b"\n\n" for line in events)
    reader = SSEReader()
    frames = reader.feed(data)
    assert not reader.end(), "the last event is not whole"
    _STREAMS[dialect](frames, failed)


def check_answer(dialect: str, data: bytes) -> None:
    _ANSWERS[dialect](strict(data))


def check_error(dialect: str, status: int, data: bytes) -> None:
    value = strict(data)
    assert 400 <= status <= 599, status
    error = value["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    if dialect == "messages":
        assert value["type"] == "error"
        assert isinstance(error["type"], str)
    elif dialect == "gemini":
        assert isinstance(error["code"], int)
        assert isinstance(error["status"], str)
    else:
        assert {"type", "param", "code"} <= error.keys()


def _chat_stream(frames: list[Frame], failed: bool) -> None:
    assert frames
    if failed:
        assert strict(frames.pop().data)["error"]["message"]
    else:
        assert frames.pop().data == b"[DONE]"
    finished: dict[int, bool] = {}
    calls: dict[int, dict[int, str | None]] = {}
    names = set()
    for one in frames:
        chunk = strict(one.data)
        names.add((chunk["id"], chunk["object"], chunk["created"], chunk["model"]))
        for choice in chunk["choices"]:
            index, delta = choice["index"], choice["delta"]
            assert not finished.get(index), "a chunk after the end of its choice"
            finished[index] = choice["finish_reason"] is not None
            assert isinstance(delta.get("content"), str | None)
            for fragment in delta.get("tool_calls", ()):
                _fragment(fragment, calls.setdefault(index, {}))
    assert len(names) <= 1
    assert failed or all(finished.values())


def _fragment(fragment: dict[str, Any], calls: dict[int, str | None]) -> None:
    index = fragment["index"]
    if index in calls:
        assert "id" not in fragment
    else:
        assert index == len(calls)
        assert fragment["id"]
        assert fragment["id"] not in calls.values()
        calls[index] = fragment["id"]
        assert isinstance(fragment[fragment["type"]]["name"], str)


def _messages_stream(frames: list[Frame], failed: bool) -> None:
    opened: str | None = None
    following = 0
    last = ""
    for one in frames:
        event = strict(one.data)
        name = event["type"]
        assert one.event.decode() == name
        assert last not in ("message_stop", "error"), f"{name} after the end"
        if name == "ping":
            continue
        assert (last == "") == (name == "message_start") or name == "error"
        match name:
            case "message_start":
                assert isinstance(event["message"]["usage"]["input_tokens"], int)
                assert event["message"]["content"] == []
            case "content_block_start":
                assert opened is None
                assert event["index"] == following
                opened, following = event["content_block"]["type"], following + 1
            case "content_block_delta":
                assert opened is not None
                assert event["index"] == following - 1
                _delta(event["delta"], opened)
            case "content_block_stop":
                assert event["index"] == following - 1
                assert opened is not None
                opened = None
            case "message_delta":
                assert opened is None
                assert event["delta"]["stop_reason"]
                assert isinstance(event["usage"]["input_tokens"], int)
                assert isinstance(event["usage"]["output_tokens"], int)
            case "message_stop":
                assert last == "message_delta"
            case _:
                assert name == "error", name
                assert event["error"]["message"]
        last = name
    assert last == ("error" if failed else "message_stop")


def _delta(delta: dict[str, Any], block: str) -> None:
    kind = delta["type"]
    if block == "text":
        assert kind in ("text_delta", "citations_delta")
    elif block == "thinking":
        assert kind in ("thinking_delta", "signature_delta")
    elif block.endswith("tool_use"):
        assert kind == "input_json_delta"
        assert isinstance(delta["partial_json"], str)


def _responses_stream(frames: list[Frame], failed: bool) -> None:
    events = [strict(one.data) for one in frames]
    assert [one.event.decode() for one in frames] == [event["type"] for event in events]
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert kinds[:2] == ["created", "in_progress"]
    assert [kind for kind in kinds if kind in ("completed", "incomplete", "failed")] == [kinds[-1]]
    assert failed is (kinds[-1] == "failed")
    final = events[-1]["response"]
    assert final["status"] == kinds[-1]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    ladder = _Ladder()
    for event, kind in zip(events[2:-1], kinds[2:-1], strict=True):
        if kind != "in_progress":
            assert event["output_index"] == len(ladder.done)
            ladder.feed(kind, event)
    assert failed or ladder.item is None
    assert final["output"] == ladder.done
    _output(final["output"])


class _Ladder:
    """The items of a response, built from its events."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        self.item: dict[str, Any] | None = None
        self.part: dict[str, Any] | None = None
        self.text = ""

    def feed(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "output_item.added":
            assert self.item is None
            self.item = event["item"]
            return
        item = self.item
        assert item is not None, kind
        assert "item_id" not in event or event["item_id"] == item["id"]
        match kind:
            case "output_item.done":
                self._done(item, event["item"])
            case "content_part.added" | "reasoning_summary_part.added":
                assert self.part is None
                self.part, self.text = event["part"], ""
                assert event.get("content_index", event.get("summary_index")) == len(self._list(item, kind))
            case "output_text.delta" | "refusal.delta" | "reasoning_summary_text.delta" | "reasoning_text.delta":
                assert self.part is not None
                self.text += event["delta"]
            case "output_text.annotation.added":
                assert self.part is not None
                assert event["annotation_index"] == len(self.part["annotations"])
                self.part["annotations"].append(event["annotation"])
            case "output_text.done" | "refusal.done" | "reasoning_summary_text.done" | "reasoning_text.done":
                assert event["refusal" if kind == "refusal.done" else "text"] == self.text
            case "content_part.done" | "reasoning_summary_part.done":
                assert self.part is not None
                assert event["part"]["type"] == self.part["type"] in _PARTS
                assert event["part"]["refusal" if self.part["type"] == "refusal" else "text"] == self.text
                self._list(item, kind).append(event["part"])
                self.part = None
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                item["arguments" if kind.startswith("function") else "input"] += event["delta"]
            case "function_call_arguments.done":
                assert event["arguments"] == item["arguments"]
            case "custom_tool_call_input.done":
                assert event["input"] == item["input"]
            case _ if kind.partition(".")[0] == item["type"] and kind.partition(".")[2] in _PROGRESS:
                assert item["status"] == "in_progress"
            case _:
                raise AssertionError(f"an event that nobody knows: {kind}")

    def _done(self, begun: dict[str, Any], whole: dict[str, Any]) -> None:
        assert self.part is None
        assert (whole["type"], whole.get("id")) == (begun["type"], begun.get("id"))
        for key in ("content", "summary", "arguments", "input", "call_id"):
            if whole["type"] in ("message", "reasoning", "function_call", "custom_tool_call") and key in begun:
                assert whole[key] == begun[key]
        self.done.append(whole)
        self.item = None

    @staticmethod
    def _list(item: dict[str, Any], kind: str) -> list[Any]:
        found: list[Any] = item["content"] if kind.startswith("content") else item["summary"]
        return found


def _gemini_stream(frames: list[Frame], failed: bool) -> None:
    chunks = [strict(one.data) for one in frames]
    assert chunks
    if failed:
        assert chunks.pop()["error"]["message"]
    ended: set[int] = set()
    for chunk in chunks:
        assert "error" not in chunk
        for candidate in chunk.get("candidates", ()):
            index = candidate.get("index", 0)
            assert index not in ended, "a candidate goes on after its end"
            _parts(candidate)
            if "finishReason" in candidate:
                ended.add(index)
    assert failed or ended or any("promptFeedback" in chunk for chunk in chunks), "no end"


def _parts(candidate: dict[str, Any]) -> None:
    for part in candidate.get("content", {}).get("parts", ()):
        assert part
        assert isinstance(part.get("text"), str | None)
        if "functionCall" in part:
            assert isinstance(part["functionCall"]["name"], str)
            assert isinstance(part["functionCall"].get("args", {}), dict)


def _chat_answer(value: Any) -> None:
    assert {"id", "object", "created", "model", "choices"} <= value.keys()
    assert value["choices"]
    for choice in value["choices"]:
        message = choice["message"]
        assert choice["finish_reason"]
        assert isinstance(message["content"], str | None)
        assert message["role"] == "assistant"
        ids = [call["id"] for call in message.get("tool_calls", ())]
        assert all(ids)
        assert len(set(ids)) == len(ids)
    if value.get("usage") is not None:
        _counts(value["usage"], "prompt_tokens", "completion_tokens", "total_tokens")


def _messages_answer(value: Any) -> None:
    assert value["type"] == "message"
    assert value["role"] == "assistant"
    assert isinstance(value["content"], list)
    assert value["stop_reason"]
    assert "stop_sequence" in value
    _counts(value["usage"], "input_tokens", "output_tokens")
    for block in value["content"]:
        assert isinstance(block["type"], str)
        if block["type"] == "thinking":
            assert block["signature"]
        if block["type"] == "tool_use":
            assert isinstance(block["input"], dict)


def _responses_answer(value: Any) -> None:
    assert value["object"] == "response"
    assert value["status"] in ("completed", "incomplete", "failed")
    assert {"error", "incomplete_details", "instructions", "tools", "tool_choice", "metadata"} <= value.keys()
    _output(value["output"])
    if value["usage"] is not None:
        _counts(value["usage"], "input_tokens", "output_tokens", "total_tokens")


def _output(items: list[dict[str, Any]]) -> None:
    # What another of this API wrote passes as it is; a repeated id is then its own.
    ids = [
        item["id"] for item in items if item["type"] in ("message", "reasoning", "function_call", "custom_tool_call")
    ]
    assert len(set(ids)) == len(ids)
    for item in items:
        if item["type"] == "message":
            assert isinstance(item["content"], list)
        if item["type"] == "function_call":
            assert item["call_id"]
            assert isinstance(item["arguments"], str)


def _gemini_answer(value: Any) -> None:
    assert "error" not in value
    for candidate in value.get("candidates", ()):
        _parts(candidate)
    if "usageMetadata" in value:
        _counts(value["usageMetadata"])


def _counts(usage: dict[str, Any], *required: str) -> None:
    assert set(required) <= usage.keys()
    for name, count in usage.items():
        assert not isinstance(count, int | float) or isinstance(count, bool) or count >= 0, name


_STREAMS: dict[str, Callable[[list[Frame], bool], None]] = {
    "chat": _chat_stream,
    "messages": _messages_stream,
    "responses": _responses_stream,
    "gemini": _gemini_stream,
}
_ANSWERS: dict[str, Callable[[Any], None]] = {
    "chat": _chat_answer,
    "messages": _messages_answer,
    "responses": _responses_answer,
    "gemini": _gemini_answer,
}
