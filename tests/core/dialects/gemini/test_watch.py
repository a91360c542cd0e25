"""A stream that passes through, watched."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.errors import Kind


def piece(text: str, tokens: int, finish: str | None = None) -> Any:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": tokens}}


PIECES = [piece(f"t{number}", number) for number in range(1, 20)]
WHOLE = [*PIECES, piece("end", 20, "STOP")]


def sse(pieces: list[Any], end: bytes = b"\r\n\r\n") -> bytes:
    return b"".join(b"data: " + json.dumps(found).encode() + end for found in pieces)


STREAMS = [sse(WHOLE), sse(WHOLE, b"\n\n"), json.dumps(WHOLE, indent=2).encode()]


@pytest.mark.parametrize("data", STREAMS)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_usage_and_end_are_seen_in_any_chunking(data: bytes, step: int) -> None:
    watcher = GEMINI.watcher()
    for start in range(0, len(data), step):
        watcher.feed(data[start : start + step])
    watcher.end()
    assert watcher.usage is not None
    assert (watcher.usage.fresh, watcher.usage.visible) == (7, 20)
    assert (watcher.ended, watcher.finish, watcher.failure) == (True, "STOP", None)


def test_a_stream_that_breaks_off_has_not_ended_but_has_been_counted() -> None:
    watcher = GEMINI.watcher()
    watcher.feed(sse(PIECES))
    assert watcher.usage is not None
    assert watcher.usage.visible in range(10, 20)
    watcher.end()
    assert watcher.usage.visible == 19
    assert not watcher.ended


def test_an_error_is_seen() -> None:
    watcher = GEMINI.watcher()
    watcher.feed(b'data: {"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}\n\n')
    assert watcher.failure is not None
    assert watcher.failure.kind is Kind.OVERLOADED
    assert not watcher.ended


def test_a_blocked_prompt_is_an_end() -> None:
    watcher = GEMINI.watcher()
    watcher.feed(b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n')
    assert (watcher.ended, watcher.finish) == (True, "SAFETY")


def test_signs_of_life_fit_between_events_only() -> None:
    event = sse(PIECES[:1])
    for pieces in ((b"", event[:-3], event[-3:]), (b"", b'[{"candidates":[', b"]}")):
        watcher = GEMINI.watcher()
        boundaries = []
        for data in pieces:
            watcher.feed(data)
            boundaries.append(watcher.at_boundary)
        assert boundaries == [True, False, True]
