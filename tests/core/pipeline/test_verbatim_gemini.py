"""A Gemini caller and an upstream that speaks Gemini: bytes pass as they are, as events; and as the one array that
callers get who do not ask for events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Call,
    Reset,
    ScriptedUpstream,
    Stall,
    Tokens,
    Wait,
    gemini_events,
    gemini_response,
    gemini_text,
)

EVENTS = gemini_events(("é😀",), calls=[Call("f", '{"a":"{[]"}')], tokens=Tokens(input=9, output=12, cached=4))
STREAM = b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in EVENTS)
BODY = b' {"contents":[{"parts":[{"text":"hi"}]}], "x":1.0,"x":12345678901234567890, "safety_settings":[] }\r\n'
forms = pytest.mark.parametrize("form", ["sse", "array"])


class World:
    """A gateway in front of an upstream, in one event loop."""

    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream, settled: list[Exchange]) -> None:
        self.driver = ASGIDriver(gateway.asgi)
        self.upstream = upstream
        self.settled = settled

    async def ask(self, verb: str, model: str = "m", body: bytes = BODY) -> Any:
        headers = {"content-type": "application/json"}
        return await self.driver.request("POST", f"/v1beta/models/{model}:{verb}", headers, body)

    async def stream(self, form: str, model: str = "m") -> Any:
        return await self.ask("streamGenerateContent" + ("?alt=sse" if form == "sse" else ""), model)

    async def read(self, form: str, model: str = "m", gate: asyncio.Event | None = None) -> bytes:
        """``gate`` is set when the first of it has come."""
        exchange = await self.stream(form, model)
        head = await exchange.start()
        data = await exchange.next_chunk() if gate else b""
        if gate:
            gate.set()
        data += await exchange.body()
        await exchange.finished()
        kind = "text/event-stream" if form == "sse" else "application/json"
        assert (head.status, (head.header("content-type") or "").split(";")[0]) == (200, kind)
        return bytes(data)


@asynccontextmanager
async def world(script: Any, stream: dict[str, Any] | None = None, **more: Any) -> AsyncIterator[World]:
    settled: list[Exchange] = []
    async with ScriptedUpstream(script) as upstream:
        # What breaks off here again and again is not to be passed over for that.
        breaker = {"failures": 10_000}
        target = {"provider": "gemini", "base_url": upstream.url, "api_key": "up", "breaker": breaker, **more}
        tree = {"targets": {"up": target}, "auth": {"anonymous": True}, "stream": stream or {}}
        gateway = Gateway(tree, on_settled=settled.append)
        async with gateway.running():
            yield World(gateway, upstream, settled)


def sse(*pieces: Any) -> Answer:
    return Answer.http(pieces, headers={"content-type": "text/event-stream"}, framing="chunked")


def elements(data: bytes) -> Any:
    """The elements of the array; a JSON parser of the strict kind must be able to read it."""
    return json.loads(data)


async def test_json_passes_byte_for_byte_both_ways() -> None:
    odd = b' {"usageMetadata" : {"promptTokenCount":1e0} , "x":"\\u00e9\xc3\xa9", "n":12345678901234567890123}\n'
    async with world(Answer.http([odd], headers={"content-type": "application/json"})) as here:
        exchange = await here.ask("generateContent")
        assert (await exchange.start()).status == 200
        assert await exchange.body() == odd
        await exchange.finished()
        (request,) = here.upstream.requests
    assert request.body == BODY
    assert request.path == "/v1beta/models/m:generateContent"
    assert request.header("x-goog-api-key") == "up"


@forms
async def test_a_stream_cut_at_every_byte(form: str) -> None:
    """In two pieces, cut at each place in turn, and in single bytes."""
    cuts = [sse(STREAM[:place], STREAM[place:]) for place in range(1, len(STREAM))]
    single = Answer.http([STREAM], headers={"content-type": "text/event-stream"}, framing="close", split=1)
    async with world([*cuts, single]) as here:
        for place in range(1, len(cuts) + 2):
            data = await here.read(form)
            assert data == STREAM if form == "sse" else elements(data) == EVENTS, f"cut at {place}"
        (request,) = {(request.path, request.query, request.body) for request in here.upstream.requests}
    assert request == ("/v1beta/models/m:streamGenerateContent", "alt=sse", BODY)
    assert {exchange.outcome for exchange in here.settled} == {"ok"}
    assert {(one.usage.input, one.usage.output, one.usage.cache_read) for one in here.settled if one.usage} == {
        (9, 12, 4)
    }


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["CRLF", "CR"])
async def test_an_array_of_a_stream_with_other_line_ends(end: bytes) -> None:
    data = STREAM.replace(b"\n", end)
    cuts = [sse(data[:place], data[place:]) for place in range(1, len(data), 11)]
    async with world(cuts) as here:
        for _ in cuts:
            assert elements(await here.read("array")) == EVENTS


@forms
async def test_an_alias(form: str) -> None:
    """The model stands in the path; the answer names it as the caller did, wherever it is cut."""
    cuts = [sse(STREAM[:place], STREAM[place:]) for place in range(1, len(STREAM), 5)]
    renamed = STREAM.replace(b'"modelVersion": "test-model"', b'"modelVersion":"nice"')
    async with world(cuts, models={"nice": "real"}) as here:
        for _ in cuts:
            data = await here.read(form, "nice")
            if form == "sse":
                assert data == renamed
            else:
                assert elements(data) == [{**event, "modelVersion": "nice"} for event in EVENTS]
        assert {request.path for request in here.upstream.requests} == {"/v1beta/models/real:streamGenerateContent"}


async def test_an_alias_of_a_whole_answer() -> None:
    async with world(gemini_text("Hi"), models={"nice": "real"}) as here:
        exchange = await here.ask("generateContent", "nice")
        assert await exchange.json() == {**gemini_response("Hi"), "modelVersion": "nice"}
        await exchange.finished()
        assert here.upstream.requests[0].path == "/v1beta/models/real:generateContent"


@forms
async def test_keep_alives(form: str) -> None:
    """Blank lines, before the first event and between two of them, and nothing that a parser would trip over."""
    first, gates = STREAM.index(b"\n\n") + 2, (asyncio.Event(), asyncio.Event())
    answer = sse(Wait(gates[0]), STREAM[:first], Wait(gates[1]), STREAM[first:])
    async with world(answer, {"keepalive": 0.02}) as here:
        exchange = await here.stream(form)
        data = b""
        for gate in gates:
            while True:
                piece = await exchange.next_chunk()
                data += piece
                if piece == b"\n":
                    break
            gate.set()
        data += await exchange.body()
        await exchange.finished()
    assert data.startswith(b"\n")
    if form == "sse":
        assert data.lstrip(b"\n").replace(b"\n", b"") == STREAM.replace(b"\n", b"")
        assert [json.loads(line[6:]) for line in data.split(b"\n") if line] == EVENTS
    else:
        assert elements(data) == EVENTS


@forms
@pytest.mark.parametrize("end", [Reset(), None], ids=["reset", "end"])
async def test_a_stream_that_breaks_off_anywhere(form: str, end: Any) -> None:
    """The last thing that is said is an error, behind whole events only. The array is closed."""
    first = STREAM.index(b"\n\n") + 2
    places = range(first, STREAM.rindex(b"data: "), 5)
    gates = [asyncio.Event() for _ in places]
    rest = [end] if end else []
    cuts = [sse(STREAM[:first], Wait(gate), STREAM[first:at], *rest) for at, gate in zip(places, gates, strict=True)]
    async with world(cuts) as here:
        for place, gate in zip(places, gates, strict=True):
            data = await here.read(form, gate=gate)
            if form == "array":
                said = elements(data)
                assert said[-1]["error"]["code"] == 502
                assert said[:-1] == EVENTS[: len(said) - 1]
                assert len(said) > 1
            else:
                whole = STREAM[: STREAM.rindex(b"\n\n", 0, place) + 2]
                assert data.startswith(whole)
                event, bare = data[len(whole) :].strip(b"\n").split(b"\n\n")
                assert json.loads(event.removeprefix(b"data: ")) == json.loads(bare)
                assert json.loads(bare)["error"]["code"] == 502
    assert {exchange.outcome for exchange in here.settled} == {"interrupted"}


@forms
async def test_an_upstream_s_own_error_in_its_stream(form: str) -> None:
    first = STREAM.index(b"\n\n") + 2
    error = b'data: {"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}\n\n'
    gate = asyncio.Event()
    async with world(sse(STREAM[:first], Wait(gate), error)) as here:
        data = await here.read(form, gate=gate)
    if form == "array":
        assert elements(data) == [EVENTS[0], json.loads(error[6:])]
    else:
        assert data == STREAM[:first] + error
    assert here.settled[0].outcome == "interrupted"


@pytest.mark.parametrize("provider", ["openai_compatible", "anthropic"])
async def test_the_array_of_a_translated_stream_that_fails_is_closed(provider: str) -> None:
    """Also where the upstream tells of the failure itself."""
    begun = {
        "openai_compatible": b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n',
        "anthropic": b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
        b'{"type":"text","text":"Hel"}}\n\n',
    }[provider]
    failed = {
        "openai_compatible": b'data: {"error":{"message":"Broken.","code":500}}\n\n',
        "anthropic": b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Broken."}}\n\n',
    }[provider]
    gate = asyncio.Event()
    async with world(sse(begun, Wait(gate), failed, Stall()), provider=provider) as here:
        said = elements(await here.read("array", gate=gate))
    assert "Broken." in said[-1]["error"]["message"]
    assert json.dumps(said[:-1]).count("Hel") == 1


@forms
async def test_a_caller_that_leaves(form: str) -> None:
    first = STREAM.index(b"\n\n") + 2
    async with world(sse(STREAM[:first], Stall())) as here:
        exchange = await here.stream(form)
        assert b"candidates" in await exchange.next_chunk()
        exchange.disconnect()
        await here.upstream.requests[0].wait_disconnected()
        await exchange.finished()
    assert [one.outcome for one in here.settled] == ["disconnected"]


_FULL = {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED", "details": [
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
]}  # fmt: skip
_BUSY = {"code": 503, "message": "busy", "status": "UNAVAILABLE"}


def listed(error: dict[str, Any]) -> Answer:
    """As Google tells it where it was asked for a stream: the one element of a list, under a good status."""
    return Answer.http(
        [json.dumps([{"error": error}], indent=2).encode()], headers={"content-type": "application/json"}
    )


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"])
async def test_an_error_in_a_list_is_the_error_that_it_names(verb: str) -> None:
    async with world(listed(_FULL), retry={"attempts": 1}) as here:
        exchange = await here.ask(verb)
        head, body = await exchange.start(), await exchange.body()
        await exchange.finished()
    assert (head.status, head.header("retry-after")) == (429, "7")
    told = json.loads(body)["error"]
    assert (told["status"], told["message"]) == ("RESOURCE_EXHAUSTED", "Resource exhausted")


@forms
async def test_an_error_in_a_list_is_mended_by_another_attempt(form: str) -> None:
    async with world([listed(_BUSY), sse(STREAM)], retry={"attempts": 2, "base": 0.001}) as here:
        assert elements(await here.read(form)) == EVENTS if form == "array" else await here.read(form) == STREAM
    (settled,) = here.settled
    assert [tried.result for tried in settled.attempts] == ["in_band", "ok"]


async def test_a_list_of_anything_else_is_no_answer() -> None:
    answer = Answer.http([b'[{"error":null}, 1]'], headers={"content-type": "application/json"})
    async with world(answer, retry={"attempts": 1}) as here:
        exchange = await here.ask("generateContent")
        head, body = await exchange.start(), await exchange.body()
        await exchange.finished()
    assert head.status == 502
    assert b"did not answer with a JSON object" in body
