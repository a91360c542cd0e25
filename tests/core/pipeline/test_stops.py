"""Stop sequences towards an upstream that has none: the answer is cut, and the upstream is let go."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Stall, responses_events, responses_text

CALLERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": "END"},
    ),
    "messages": (
        "/v1/messages",
        "/v1/messages",
        {
            "model": "m",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
            "stop_sequences": ["END", "X"],
        },
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"stopSequences": ["END"]}},
    ),
    "gemini array": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent",
        {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"stopSequences": ["END"]}},
    ),
}
callers = pytest.mark.parametrize("caller", CALLERS)


def text_of(said: Any) -> str:
    """All text in an answer or in the events of one, wherever the dialect keeps it."""
    match said:
        case {"text": str(text)} | {"content": str(text)}:
            return text
        case dict():
            return "".join(text_of(value) for value in said.values())
        case list():
            return "".join(text_of(value) for value in said)
    return ""


def events(data: bytes) -> list[Any]:
    if data.startswith(b"["):
        return json.loads(data)  # type: ignore[no-any-return]  # a list by its first byte
    lines = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [json.loads(line) for line in lines]


async def ask(upstream: ScriptedUpstream, caller: str, *, stream: bool) -> tuple[dict[str, str], bytes, Exchange]:
    plain, streaming, body = CALLERS[caller]
    if stream and not caller.startswith("gemini"):
        body = {**body, "stream": True}
    settled: list[Exchange] = []
    target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": ["responses"]}
    gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
    async with gate.running():
        headers = {"content-type": "application/json"}
        exchange = await ASGIDriver(gate.asgi).request(
            "POST", streaming if stream else plain, headers, json.dumps(body).encode()
        )
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    (done,) = settled
    return {name.decode(): value.decode() for name, value in head.headers}, data, done


def reason(data: str, caller: str) -> bool:
    wanted = {"chat": '"finish_reason":"stop"', "messages": '"stop_reason":"stop_sequence"'}
    return wanted.get(caller, '"finishReason":"STOP"') in data.replace(" ", "")


@callers
async def test_a_whole_answer_is_cut(caller: str) -> None:
    async with ScriptedUpstream(responses_text("one EN two END three END")) as upstream:
        headers, data, done = await ask(upstream, caller, stream=False)
    assert text_of(json.loads(data)) == "one EN two "
    assert reason(data.decode(), caller)
    assert "stop;emulate" in headers["x-llm-warnings"]
    assert done.usage is not None
    assert done.usage.output > 0
    if caller == "messages":
        assert json.loads(data)["stop_sequence"] == "END"


@callers
async def test_a_stream_is_cut_ends_as_it_should_and_lets_the_upstream_go(caller: str) -> None:
    """The upstream never ends its answer by itself: only its being closed ends this test."""
    said = responses_events(("one E", "N two E", "N", "D three", " four"))
    hanging = Answer.sse([*said[:-4], Stall()], framing="close")
    async with ScriptedUpstream(hanging) as upstream:
        headers, data, done = await asyncio.wait_for(ask(upstream, caller, stream=True), 60)
    assert text_of(events(data)) == "one EN two "
    assert reason(data.decode(), caller)
    assert "stop;emulate" in headers["x-llm-warnings"]
    assert (done.outcome, done.finish) == ("ok", "stop_sequence")
    ends = {"chat": b"data: [DONE]\n\n", "messages": b'data: {"type":"message_stop"}\n\n', "gemini array": b"]"}
    assert data.endswith(ends.get(caller, b"\n\n"))


@callers
async def test_an_answer_without_the_sequence_is_left_whole(caller: str) -> None:
    said = responses_events(("one E", "N two E", "N"))
    async with ScriptedUpstream(Answer.sse(said)) as upstream:
        _, data, done = await ask(upstream, caller, stream=True)
    assert text_of(events(data)) == "one EN two EN"
    assert done.finish == "end"


@callers
async def test_a_stream_that_was_not_asked_for_is_cut_as_well(caller: str) -> None:
    async with ScriptedUpstream(Answer.sse(responses_events(("one E", "ND two")))) as upstream:
        _, data, _ = await ask(upstream, caller, stream=False)
    assert text_of(json.loads(data)) == "one "
    assert reason(data.decode(), caller)


@callers
async def test_a_whole_answer_to_a_caller_that_wants_a_stream_is_cut_as_well(caller: str) -> None:
    async with ScriptedUpstream(responses_text("one END two")) as upstream:
        _, data, _ = await ask(upstream, caller, stream=True)
    assert text_of(events(data)) == "one "
    assert reason(data.decode(), caller)
