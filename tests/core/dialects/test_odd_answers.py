"""Answers of upstreams that are odd in ways of their own: every caller still gets a whole answer, or a failure."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.gemini.reader import PieceReader
from asgi_llm.dialects.interface import Answer, Dialect, Profile, Restore
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.rename import RenameModel
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import Event, Failure, Finished
from asgi_llm.neutral.fold import fold
from asgi_llm.neutral.request import Refusal

DIALECTS = (CHAT, MESSAGES, RESPONSES, GEMINI)
ANSWER = Answer(model="m", mint=lambda prefix: f"{prefix}minted", now=lambda: 0.0)


def read(dialect: Dialect, data: bytes) -> list[Event]:
    decoder = dialect.stream_decoder(Restore())
    return [*decoder.feed(data), *decoder.end()]


def sse(*events: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def chat(*indexes: int) -> Any:
    return {"choices": [{"index": index, "message": {"content": f"{place}"}, "finish_reason": "stop"}
                        for place, index in enumerate(indexes)]}  # fmt: skip


def gemini(*indexes: int) -> Any:
    return {"candidates": [{"index": index, "content": {"parts": [{"text": f"{place}"}]}, "finishReason": "STOP"}
                           for place, index in enumerate(indexes)]}  # fmt: skip


@pytest.mark.parametrize(("dialect", "build"), [(CHAT, chat), (GEMINI, gemini)])
@pytest.mark.parametrize(
    ("indexes", "expected"), [((1,), [0]), ((0, 0), [0, 1]), ((7, 5), [0, 1]), ((1, 0), [1, 0]), ((0, 1), [0, 1])]
)
def test_a_whole_answer_of_odd_numbers(dialect: Dialect, build: Any, indexes: Any, expected: list[int]) -> None:
    response = dialect.decode_response(json.dumps(build(*indexes)).encode(), Restore())
    assert [candidate.index for candidate in response.candidates] == expected


@pytest.mark.parametrize(("dialect", "build"), [(CHAT, chat), (GEMINI, gemini)])
def test_a_stream_that_counts_from_elsewhere_reaches_its_end_in_every_dialect(dialect: Dialect, build: Any) -> None:
    events = read(dialect, sse(build(3)))
    assert fold(events).candidates[0].index == 0
    for caller in DIALECTS:
        watcher = caller.watcher()
        watcher.feed(caller.stream_encoder(ANSWER).feed(events))
        assert watcher.ended, caller.name


_SAID = b'"message":{"content":"a"},"delta":{"content":"a"}'
BROKEN = {
    "chat": b'{"choices":[{"index":0,%b,"logprobs":"\xff","finish_reason":"stop"}]}' % _SAID,
    "messages": b'{"type":"message","content":[{"type":"later","a":"\xff"}],"stop_reason":"end_turn"}',
    "responses": b'{"status":"completed","output":[{"type":"later","a":"\xff"}]}',
    "gemini": b'{"candidates":[{"content":{"parts":[{"later":"\xff"}]},"finishReason":"STOP"}]}',
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_an_answer_that_is_not_utf8_is_none_even_where_nobody_reads_it(dialect: Dialect) -> None:
    body = BROKEN[dialect.name]
    with pytest.raises(UpstreamError) as caught:
        dialect.decode_response(body, Restore())
    assert caught.value.cause is Cause.CONTENT
    dialect.decode_response(body.replace(b"\xff", "é".encode()), Restore())


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        (CHAT, BROKEN["chat"]),
        (MESSAGES, b'{"type":"content_block_start","index":0,"content_block":{"type":"later","a":"\xff"}}'),
        (MESSAGES, b'{"type":"\xff\xfe"}'),
        (MESSAGES, b'{"type":"later","error":"\xc3"}'),
        (RESPONSES, b'{"type":"response.output_item.done","output_index":0,"item":{"type":"later","a":"\xff"}}'),
        (GEMINI, BROKEN["gemini"]),
    ],
)
def test_a_stream_that_is_not_utf8_breaks_off(dialect: Dialect, event: bytes) -> None:
    last = read(dialect, b"data: " + event + b"\n\n")[-1]
    assert isinstance(last, Failure)


def test_raw_json_of_several_lines_stays_one_event_in_a_responses_stream() -> None:
    """Log probabilities as the upstream wrote them; tools as the caller wrote them, which the answer repeats."""
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}
    whole = {"choices": [{"index": 0, "message": {"content": "a"}, "logprobs": logprobs, "finish_reason": "stop"}]}
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}]
    asked = {"model": "m", "input": "a", "tools": tools, "reasoning": {"effort": "low"}, "truncation": "auto"}
    for space in (None, 1):
        request = RESPONSES.decode_request(json.dumps(asked, indent=space).encode())
        answer = Answer(model="m", request=request)
        response = CHAT.decode_response(json.dumps(whole, indent=space).encode(), Restore())
        events = read(CHAT, b"data: " + json.dumps(whole, indent=space).encode().replace(b"\n", b"\ndata: ") + b"\n\n")
        assert isinstance(events[-1], Finished)
        stream = RESPONSES.stream_encoder(answer).feed(events)
        last = [json.loads(frame.data) for frame in SSEReader().feed(stream)][-1]["response"]
        assert last["output"][0]["content"][0]["logprobs"] == logprobs["content"]
        assert last["tools"][0]["name"] == "f"
        assert b"\n" not in RESPONSES.encode_response(response, answer)


def test_a_chat_error_is_seen_in_passing_whatever_it_says() -> None:
    data = b"event: error\ndata: out of memory\n\n" + sse(chat(0))
    for size in (1, 7, len(data)):
        watcher = CHAT.watcher()
        for start in range(0, len(data), size):
            watcher.feed(data[start : start + size])
        assert watcher.failure is not None


def test_a_body_without_messages_has_no_thoughts_of_ours() -> None:
    body = b'{"model":"asgi-llm.v1."}'
    assert MESSAGES.clean is not None
    assert MESSAGES.clean(body) == body


def test_white_space_before_a_gemini_stream_is_not_kept() -> None:
    reader = PieceReader()
    for _ in range(1000):
        assert reader.feed(b"\r\n \n") == []
        assert not reader.pending
    assert reader.feed(b'data: {"a":1}\n\n') == [b'{"a":1}']


def test_base64_of_several_lines_reaches_gemini_in_one() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO\r\nRw0K\nGg=="}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    encoded = GEMINI.encode_request(CHAT.decode_request(json.dumps(body).encode()), Profile())
    assert json.loads(encoded.body)["contents"][0]["parts"][0]["inlineData"]["data"] == "iVBORw0KGg=="


def test_the_choice_of_a_function_called_function_keeps_its_name() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    body = {"model": "m", "input": "a", "tools": tools, "tool_choice": {"type": "function", "name": "function"}}
    encoded = RESPONSES.encode_request(RESPONSES.decode_request(json.dumps(body).encode()), Profile())
    assert json.loads(encoded.body)["tool_choice"] == {"type": "function", "name": "function"}


def _cost(build: Any, size: int) -> float:
    """Seconds of the processor, the best of three."""
    costs = []
    for _ in range(3):
        begun = time.process_time()
        build(size)
        costs.append(time.process_time() - begun)
    return min(costs)


def _cut(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 100] for at in range(0, len(data), 100))


def _read_lines(size: int) -> None:
    reader = SSEReader()
    for piece in _cut(b"data: a\r\n" * size):
        reader.feed(piece)


def _rename(size: int) -> None:
    rename = RenameModel("m")
    for piece in _cut(b"data: " + b"x" * 9 * size):
        rename.feed(piece)


def _read_parts(size: int) -> None:
    parts = [{"text": "a"}, *[{"executableCode": {"language": "PYTHON", "code": "1"}}] * (size // 20)]
    read(GEMINI, sse({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}))


def _read_candidates(size: int) -> None:
    candidate = {"content": {"parts": [{"executableCode": {"code": "1"}}]}, "finishReason": "STOP"}
    GEMINI.decode_response(json.dumps({"candidates": [candidate] * (size // 40)}).encode(), Restore())


@pytest.mark.parametrize("build", [_read_lines, _rename, _read_parts, _read_candidates])
def test_work_grows_with_what_comes_and_not_faster(build: Any) -> None:
    """Ten times as much takes about ten times as long; in proportion to its square it would take a hundred times."""
    assert _cost(build, 40_000) < 40 * _cost(build, 4_000)


def test_a_call_that_says_nothing_is_not_handed_on() -> None:
    parts = [{"text": "Go."}, {"functionCall": "null"}]
    said = {"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}]}
    for data in (b"data: " + json.dumps(said).encode() + b"\n\n", json.dumps([said]).encode()):
        events = read(GEMINI, data)
        told = GEMINI.stream_encoder(ANSWER).feed(events)
        assert b"Go." in told
        assert b"functionCall" not in told


def test_the_sources_of_a_refusal_are_left_out() -> None:
    item = {"item_id": "m", "output_index": 0, "content_index": 0}
    cited = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "content": []}
    events = [
        {"type": "response.created", "response": {"id": "r", "model": "m"}},
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {"type": "response.content_part.added", **item, "part": {"type": "refusal", "refusal": ""}},
        {"type": "response.refusal.delta", **item, "delta": "No."},
        {"type": "response.output_text.annotation.added", **item, "annotation_index": 0, "annotation": cited},
        {"type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed"}},
    ]
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    (candidate,) = fold(read(RESPONSES, data)).candidates
    assert candidate.parts == (Refusal("No."),)
