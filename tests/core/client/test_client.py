"""The application's own calls: the official SDKs and httpx's clients on the gateway in their own process."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types as genai_types

from asgi_llm import AsgiLLMError, Exchange, Gateway, Identity
from asgi_llm.testing import Answer, Reset, ScriptedUpstream, Stall, Wait, chat_events, chat_text, no_leaks

HELLO: Any = [{"role": "user", "content": "Hello there"}]
CHAT = {"model": "m", "stream": True, "messages": HELLO}
ANN = Identity(subject="ann", tenant="acme")
LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2])


class World:
    """A gateway that lets nobody in who is not known, in front of the echo or of an upstream."""

    def __init__(self, upstream: ScriptedUpstream | None = None, **settings: Any) -> None:
        self.settled: list[Exchange] = []
        target: dict[str, Any] = {"provider": "echo"}
        if upstream is not None:
            target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        self.gateway = Gateway({"targets": {"main": target}, **settings}, on_settled=self.settled.append)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.gateway.running():
        yield made


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


async def test_the_openai_sdk(world: World) -> None:
    client = openai.AsyncOpenAI(api_key="none", http_client=world.gateway.client(identity=ANN))
    whole = await client.chat.completions.create(model="echo", messages=HELLO)
    assert whole.choices[0].message.content == "Hello there"
    stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == "Hello there"
    assert len([piece for piece in pieces if piece]) == 2
    assert (await client.responses.create(model="echo", input="Hello there")).output_text == "Hello there"
    assert [model.id async for model in client.models.list()] == ["echo", "echo-thinking"]
    assert {item.identity for item in world.settled} == {ANN}


async def test_the_anthropic_sdk(world: World) -> None:
    client = anthropic.AsyncAnthropic(api_key="none", http_client=world.gateway.client(identity=ANN))
    async with client.messages.stream(model="echo", max_tokens=100, messages=HELLO) as stream:
        assert "".join([text async for text in stream.text_stream]) == "Hello there"
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await client.post("/v1/messages", body={"model": "echo", "messages": HELLO, "max_tokens": "x"}, cast_to=object)


async def test_the_google_sdk(world: World) -> None:
    options = genai_types.HttpOptions(httpx_async_client=world.gateway.client(identity=ANN))
    client = genai.Client(api_key="none", http_options=options)
    answer = await client.aio.models.generate_content(model="echo", contents="Hello there")
    assert answer.text == "Hello there"
    stream = await client.aio.models.generate_content_stream(model="echo", contents="Hello there")
    assert "".join([chunk.text or "" async for chunk in stream]) == "Hello there"


async def test_who_calls(world: World) -> None:
    """The application itself, unless it says for whom; what the request shows does not count."""
    for identity in (None, "bob", ANN):
        async with world.gateway.client(identity=identity) as client:
            asked = {"model": "echo", "messages": HELLO}
            answer = await client.post("/v1/chat/completions", json=asked, headers={"authorization": "Bearer x"})
            assert answer.status_code == 200
    assert [(item.identity.subject, item.identity.source) for item in world.settled] == [
        ("application", "application"),
        ("bob", "application"),
        ("ann", "host"),
    ]


async def test_the_target_may_be_named() -> None:
    gateway = Gateway({"targets": {"one": {"provider": "echo"}, "two": {"provider": "echo"}}})
    assert (await gateway.chat("m", "hi", target="two")).text == "hi"
    with pytest.raises(AsgiLLMError) as caught:
        await gateway.chat("m", "hi")
    assert caught.value.code == "no_route"


@LIBRARIES
async def test_streams_really_stream(library: Any) -> None:
    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        world = World(upstream)
        async with (
            world.gateway.running(),
            world.gateway.client(library=library) as client,
            client.stream("POST", "/v1/chat/completions", json=CHAT) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            pieces = answer.aiter_bytes()
            assert b" three" not in await asyncio.wait_for(anext(pieces), 60)
            gate.set()
            assert b"".join([piece async for piece in pieces]).endswith(b"data: [DONE]\n\n")
    assert [item.outcome for item in world.settled] == ["ok"]


@LIBRARIES
async def test_leaving_is_heard(library: Any) -> None:
    """Before there is an answer, by cancellation; in the middle of a stream, by closing it."""
    async with no_leaks(), ScriptedUpstream([Answer.silence(), Answer.sse([*chat_events()[:2], Stall()])]) as upstream:
        world = World(upstream)
        async with world.gateway.running(), world.gateway.client(library=library) as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json={**CHAT, "stream": False}))
            request = await upstream.wait_request(1)
            asking.cancel()
            await request.wait_disconnected()
            async with client.stream("POST", "/v1/chat/completions", json=CHAT) as answer:
                await anext(answer.aiter_bytes())
            await upstream.requests[1].wait_disconnected()
    assert [item.outcome for item in world.settled] == ["disconnected", "disconnected"]


@LIBRARIES
async def test_the_requests_own_timeout_counts(library: Any) -> None:
    async with no_leaks(), ScriptedUpstream([Answer.silence()]) as upstream:
        world = World(upstream)
        async with world.gateway.running(), world.gateway.client(library=library) as client:
            with pytest.raises(library.ReadTimeout):
                await client.post("/v1/chat/completions", json={**CHAT, "stream": False}, timeout=0.05)
            await upstream.requests[0].wait_disconnected()


async def test_a_reader_that_is_slow_slows_the_upstream_down() -> None:
    """No more than a little waits to be read."""
    piece = "x" * 30_000
    async with ScriptedUpstream([Answer.sse(chat_events([piece] * 400))]) as upstream:
        world = World(upstream)
        async with (
            world.gateway.running(),
            world.gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json=CHAT) as answer,
        ):
            pieces = answer.aiter_bytes()
            size = len(await anext(pieces))
            assert not upstream.requests[0].answered.is_set()
            size += sum([len(more) async for more in pieces])
    assert size > 400 * 30_000


@LIBRARIES
def test_code_without_an_event_loop(library: Any) -> None:
    world = World()
    with world.gateway.sync_client(identity="ann", library=library) as client:
        answer = client.post("/v1/chat/completions", json={"model": "echo", "messages": HELLO})
        assert answer.json()["choices"][0]["message"]["content"] == "Hello there"
        with client.stream("POST", "/v1/chat/completions", json={**CHAT, "model": "echo"}) as stream:
            assert "".join(stream.iter_text()).endswith("data: [DONE]\n\n")
    assert [item.identity.subject for item in world.settled] == ["ann", "ann"]


def test_the_sdks_without_an_event_loop() -> None:
    world = World()
    with openai.OpenAI(api_key="none", http_client=world.gateway.sync_client()) as client:
        stream = client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello there"
    with anthropic.Anthropic(api_key="none", http_client=world.gateway.sync_client()) as claude:
        answer = claude.messages.create(model="echo", max_tokens=99, messages=HELLO)
        assert [block.text for block in answer.content if block.type == "text"] == ["Hello there"]


async def test_the_event_loop_is_not_blocked_by_mistake(world: World) -> None:
    with world.gateway.sync_client() as client, pytest.raises(RuntimeError, match=r"gateway\.client\(\)"):
        client.get("/v1/models")


def test_a_stream_that_is_left_without_an_event_loop() -> None:
    """The upstream hears of it."""
    left = asyncio.Event()

    async def main() -> None:
        async with ScriptedUpstream([Answer.sse([*chat_events()[:2], Stall()])]) as upstream:
            world = World(upstream)

            def view() -> None:
                with world.gateway.sync_client() as client, client.stream("POST", "/v1/messages", json=MESSAGES) as one:
                    next(one.iter_bytes())

            await asyncio.to_thread(view)
            await upstream.requests[0].wait_disconnected()
            left.set()

    asyncio.run(main())
    assert left.is_set()


MESSAGES = {**CHAT, "max_tokens": 9}


LATE = """
import asyncio
from asgi_llm import Gateway
from asgi_llm.client.thread import submit

async def late():
    await asyncio.sleep(0.1)
    print("ended")

async def begin():
    return asyncio.create_task(late())

left = submit(Gateway({"targets": {"echo": {"provider": "echo"}}}), begin()).result()
"""


def test_what_runs_when_the_process_ends_may_end() -> None:
    """As the end of a gateway does that nobody holds any more."""
    ran = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60, check=True)
    assert (ran.stdout, ran.stderr) == ("ended\n", "")


async def test_refusals_come_in_the_callers_dialect(world: World) -> None:
    async with world.gateway.client() as client:
        wrong = await client.post("/v1/messages", content=b"{", headers={"content-type": "application/json"})
        assert (wrong.status_code, wrong.json()["type"]) == (400, "error")
        assert (await client.get("/nothing")).status_code == 404
        query = await client.post(
            "/v1beta/models/echo:streamGenerateContent?alt=sse", json={"contents": [{"parts": [{"text": "hi"}]}]}
        )
        assert query.text.startswith("data: ")


async def test_a_failure_inside_a_stream_is_told() -> None:
    async with ScriptedUpstream([Answer.sse([*chat_events()[:2], Reset()])]) as upstream:
        world = World(upstream)
        async with world.gateway.running(), world.gateway.client() as client:
            answer = await client.post("/v1/chat/completions", json=CHAT)
            last = [line for line in answer.text.splitlines() if line.startswith("data: {")][-1]
            assert "error" in json.loads(last[6:])
    assert [item.outcome for item in world.settled] == ["interrupted"]


async def test_what_goes_upstream_is_what_was_sent() -> None:
    raw = b' {"messages" :[{"role":"user","content":"hi"}],  "model":"m"} '
    async with ScriptedUpstream([chat_text("hi")]) as upstream:
        world = World(upstream)
        async with world.gateway.running(), world.gateway.client() as client:
            await client.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"})
        assert upstream.requests[0].body == raw
        assert upstream.requests[0].header("authorization") is None
