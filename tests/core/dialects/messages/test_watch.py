"""The watcher learns usage, end and failure from a stream that passes through, cut anywhere."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.interface import StreamWatcher
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.errors import Kind


def sse(*events: dict[str, Any], named: bool = True) -> bytes:
    out = b""
    for event in events:
        name = b"event: " + event["type"].encode() + b"\n" if named else b""
        out += name + b"data: " + json.dumps(event).encode() + b"\n\n"
    return out


START = {
    "type": "message_start",
    "message": {"id": "m", "usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 3}},
}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "message_stop error"}}
LAST = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
STOP = {"type": "message_stop"}
STREAM = sse(START, {"type": "ping"}, DELTA, LAST, STOP)


def watch(data: bytes, size: int) -> StreamWatcher:
    watcher = MESSAGES.watcher()
    for at in range(0, len(data), size):
        watcher.feed(data[at : at + size])
    watcher.end()
    return watcher


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("named", [True, False])
def test_a_whole_stream(size: int, newline: bytes, named: bool) -> None:
    data = sse(START, {"type": "ping"}, DELTA, LAST, STOP, named=named).replace(b"\n", newline)
    watcher = watch(data, size)
    assert watcher.usage is not None
    assert (watcher.usage.fresh, watcher.usage.cache_read, watcher.usage.visible) == (5, 3, 9)
    assert (watcher.ended, watcher.finish, watcher.failure) == (True, "end_turn", None)
    assert watcher.at_boundary


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_words_in_the_text_are_no_events(size: int) -> None:
    watcher = watch(sse(START, DELTA, {**DELTA, "type": "content_block_delta"}), size)
    assert (watcher.ended, watcher.failure) == (False, None)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_error_event(size: int) -> None:
    watcher = watch(sse(START, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}), size)
    assert watcher.failure is not None
    assert (watcher.failure.kind, watcher.failure.message) == (Kind.OVERLOADED, "busy")
    assert not watcher.ended


def test_boundaries() -> None:
    watcher = MESSAGES.watcher()
    assert watcher.at_boundary
    for data, boundary in ((b"data: x", False), (b"\n", False), (b"\n", True), (b"a\r\n", False), (b"\r\n", True)):
        watcher.feed(data)
        assert watcher.at_boundary is boundary


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert watch(STREAM.rstrip(b"\n"), 40).ended


@pytest.mark.parametrize("size", [1000, 65536])
def test_memory_is_bounded_and_what_follows_a_huge_event_is_seen(size: int) -> None:
    huge = {"type": "content_block_start", "index": 0, "content_block": {"type": "x", "data": "message_" * 100_000}}
    watcher = MESSAGES.watcher()
    data = sse(START, huge, LAST, STOP)
    held = 0
    for at in range(0, len(data), size):
        watcher.feed(data[at : at + size])
        held = max(held, len(watcher._held))  # type: ignore[attr-defined]  # the bound is the point of the test
    assert held < 512 * 1024
    assert (watcher.ended, watcher.finish) == (True, "end_turn")


@pytest.mark.parametrize("data", [b"data: {message_\n\n", b"\xff\xfferror\n\n", b"event: message_delta\ndata: []\n\n"])
def test_nonsense_is_passed_over(data: bytes) -> None:
    watcher = watch(data, 5)
    assert (watcher.usage, watcher.ended, watcher.failure) == (None, False, None)
