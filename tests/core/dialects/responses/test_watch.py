"""Verbatim streams are looked at, never changed: usage, ending and failure are found in any chunking."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import Cause, Kind, UpstreamError

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 150,
}


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def stream(kind: str = "response.completed", text: str = "hi", **response: object) -> bytes:
    body = {"id": "resp_1", "error": None, "output": [{"type": "message", "text": text}], "usage": USAGE, **response}
    return (
        event("response.created", response={"id": "resp_1", "error": None, "usage": None})
        + event("response.output_text.delta", delta='"error" and response.completed in text')
        + event(kind, response=body)
    )


def watched(*chunks: bytes):
    watcher = RESPONSES.watcher()
    for chunk in chunks:
        watcher.feed(chunk)
    watcher.end()
    return watcher


def test_reads_usage_and_end_from_the_terminal_event():
    watcher = watched(stream())
    assert watcher.ended
    assert watcher.failure is None
    assert watcher.finish == "completed"
    usage = watcher.usage
    assert (usage.fresh, usage.cache_read, usage.cache_write) == (30, 60, 10)
    assert (usage.visible, usage.reasoning) == (30, 20)


def test_incomplete_tells_its_reason():
    watcher = watched(stream("response.incomplete", incomplete_details={"reason": "max_output_tokens"}))
    assert watcher.ended
    assert watcher.finish == "max_output_tokens"


def test_failed_is_a_failure_and_an_end():
    watcher = watched(stream("response.failed", error={"code": "rate_limit_exceeded", "message": "slow down"}))
    assert watcher.ended
    assert watcher.failure.kind is Kind.RATE_LIMIT
    assert watcher.failure.message == "slow down"


@pytest.mark.parametrize(
    "members",
    [{"code": "server_error", "message": "boom"}, {"error": {"code": "server_error", "message": "boom"}}],
    ids=["flat", "nested"],
)
def test_error_event_is_a_failure_but_no_end(members):
    watcher = watched(event("error", **members))
    assert watcher.failure.message == "boom"
    assert watcher.failure.code == "server_error"
    assert not watcher.ended


def test_words_of_the_answer_are_not_taken_for_events():
    watcher = watched(event("response.output_text.delta", delta="event: error\n\nresponse.completed"))
    assert not watcher.ended
    assert watcher.failure is None


@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_chunking_and_any_line_end_give_the_same(data, newline):
    whole = stream().replace(b"\n", newline)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    watcher = watched(*chunks)
    assert watcher.ended
    assert watcher.failure is None
    assert watcher.usage.output == 50
    assert watcher.at_boundary


def test_byte_by_byte_gives_the_same():
    whole = stream()
    assert watched(*(whole[i : i + 1] for i in range(len(whole)))).usage == watched(whole).usage


def test_boundary_is_known_between_events_only():
    watcher = RESPONSES.watcher()
    assert watcher.at_boundary
    watcher.feed(b'event: x\ndata: {"type"')
    assert not watcher.at_boundary
    watcher.feed(b":1}\n")
    assert not watcher.at_boundary
    watcher.feed(b"\n")
    assert watcher.at_boundary


def test_last_event_without_blank_line_counts():
    assert watched(stream().rstrip(b"\n")).ended


@pytest.mark.parametrize("size", [900_000, 3_000_000])
def test_large_terminal_event_is_read_with_bounded_memory(size):
    whole = stream(text="x" * size)
    watcher = RESPONSES.watcher()
    for start in range(0, len(whole), 65536):
        watcher.feed(whole[start : start + 65536])
        assert sum(map(len, watcher._held)) <= 1024 * 1024 + 65536
    watcher.end()
    assert watcher.ended
    assert watcher.usage.input == 100


def test_garbage_is_tolerated():
    watcher = watched(b"event: response.completed\ndata: {broken\n\n", b"\xff\xfe\n\n", b"data: 1\n\n")
    assert not watcher.ended
    assert watcher.usage is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1", b"null", b'{"input_tokens":"x"}'])
def test_usage_of_json_never_raises(body):
    assert RESPONSES.usage(Raw(body)) is None


def test_usage_of_json_is_disjoint_and_never_negative():
    counts = {"input_tokens": 5, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1}
    usage = RESPONSES.usage(Raw(json.dumps(counts).encode()))
    assert (usage.fresh, usage.cache_read, usage.visible) == (0, 9, 1)


BEGUN = event("response.created", sequence_number=0, response={"id": "resp_7", "created_at": 5, "model": "big"})
BEGUN += event("response.in_progress", sequence_number=1, response={"id": "resp_7", "created_at": 5, "model": "big"})
SAID = event("response.output_text.delta", sequence_number=9, delta='{"sequence_number": 77}')


@pytest.mark.parametrize("split", [1, 2, 3, 7, 100, 10_000])
@pytest.mark.parametrize("unfinished", [b"", event("x", delta="d", sequence_number=10)[:-7]])
@pytest.mark.parametrize("ended", [True, False])
def test_what_breaks_off_is_told_of_the_response_it_was_and_numbered_on(split, unfinished, ended):
    watcher = RESPONSES.watcher()
    data = BEGUN + SAID + unfinished
    for start in range(0, len(data), split):
        watcher.feed(data[start : start + split])
    if ended:
        watcher.end()
    told = RESPONSES.break_off(watcher, UpstreamError("it broke", cause=Cause.TRUNCATED))
    head, _, said = told.partition(b"event: response.failed\ndata: ")
    assert head == (b"\n\n" if unfinished else b"")
    failed = json.loads(said)
    assert failed["sequence_number"] == 10
    response = failed["response"]
    assert (response["id"], response["created_at"], response["model"]) == ("resp_7", 5, "big")
    assert (response["status"], response["error"]["message"]) == ("failed", "it broke")


@pytest.mark.parametrize("odd", [{}, {"id": None, "created_at": "x", "model": 3}, {"id": [1]}])
def test_what_breaks_off_without_saying_what_it_is_gets_an_id(odd):
    watcher = RESPONSES.watcher()
    watcher.feed(event("response.created", response=odd))
    told = RESPONSES.break_off(watcher, UpstreamError("it broke", cause=Cause.TRUNCATED))
    failed = json.loads(told.partition(b"data: ")[2])
    assert failed["response"]["id"].startswith("resp_")
    assert failed["sequence_number"] > 1_000_000
