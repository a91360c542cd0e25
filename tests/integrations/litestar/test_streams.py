"""Streams: on time, with no dependency held, and over when the caller leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import anthropic
import httpx
import openai
import pytest

pytest.importorskip("litestar")

from litestar import Request
from litestar.config.compression import CompressionConfig
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException

from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait, chat_events, no_leaks

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
PATH = "/llm/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


def world(make: Any, upstream: ScriptedUpstream, **options: Any) -> Any:
    """An application in front of a scripted upstream."""
    target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
    return make(settings={"targets": {"up": target}, "auth": {"anonymous": True}}, **options)


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


async def bearer(request: Request[Any, Any, Any]) -> str:
    shown = request.headers.get("authorization") or f"Bearer {request.headers.get('x-api-key', '')}"
    if shown != "Bearer ann's token":
        raise NotAuthorizedException("log in first")
    return "ann"


async def test_the_openai_sdk(make: Any, serve: Callable[..., Any]) -> None:
    app = make(identity=bearer)
    async with (
        no_leaks(),
        serve(app.app) as url,
        openai.AsyncOpenAI(base_url=f"{url}/llm/v1", api_key="ann's token", max_retries=0) as client,
    ):
        whole = await client.chat.completions.create(model="echo", messages=HELLO)
        assert whole.choices[0].message.content == "Hello there"
        stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == "Hello there"
        answer = await client.responses.create(model="echo", input="Hello there")
        assert answer.output_text == "Hello there"
        async with client.responses.stream(model="echo", input="Hello there") as events:
            assert (await events.get_final_response()).output_text == "Hello there"
        assert [model.id async for model in client.models.list()] == ["echo", "echo-thinking"]
        with pytest.raises(openai.AuthenticationError, match="log in first"):
            await client.with_options(api_key="wrong").chat.completions.create(model="echo", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="no endpoint"):
            await client.vector_stores.create(name="x")
    assert {(item.identity.subject, item.outcome) for item in app.settled} == {("ann", "ok")}


async def test_the_anthropic_sdk(make: Any, serve: Callable[..., Any]) -> None:
    app = make(identity=bearer)
    async with (
        no_leaks(),
        serve(app.app) as url,
        anthropic.AsyncAnthropic(base_url=f"{url}/llm", api_key="ann's token", max_retries=0) as client,
    ):
        whole = await client.messages.create(model="echo", max_tokens=99, messages=HELLO)
        assert [block.text for block in whole.content if block.type == "text"] == ["Hello there"]
        async with client.messages.stream(model="echo", max_tokens=99, messages=HELLO) as stream:
            assert "".join([text async for text in stream.text_stream]) == "Hello there"
            assert (await stream.get_final_message()).stop_reason == "end_turn"
        with pytest.raises(anthropic.AuthenticationError, match="log in first"):
            await client.with_options(api_key="wrong").messages.create(model="echo", max_tokens=9, messages=HELLO)
    assert {(item.identity.subject, item.outcome) for item in app.settled} == {("ann", "ok")}


@pytest.mark.parametrize("compression", [None, CompressionConfig(backend="gzip")])
async def test_the_first_byte_comes_before_the_last_is_made(
    make: Any, serve: Callable[..., Any], compression: CompressionConfig | None
) -> None:
    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        app = world(make, upstream, litestar={"compression_config": compression})
        async with (
            serve(app.app) as url,
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("POST", url + PATH, json=CHAT) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            pieces = answer.aiter_bytes()
            first = await asyncio.wait_for(anext(pieces), 60)
            assert b"data: {" in first
            assert b" three" not in first
            gate.set()
            rest = b"".join([piece async for piece in pieces])
    assert rest.endswith(b"data: [DONE]\n\n")
    assert [item.outcome for item in app.settled] == ["ok"]


async def test_every_dependency_is_closed_before_the_first_byte(make: Any) -> None:
    """A database session would otherwise be held while the model talks."""
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        seen.append("session open")
        yield "session"
        seen.append("session closed")

    async def user(session: Annotated[str, "injected"]) -> AsyncIterator[str]:
        yield f"ann of {session}"
        seen.append("user closed")

    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        app = world(make, upstream, identity=user, litestar={"dependencies": {"session": Provide(session)}})
        async with app.driver.lifespan():
            exchange = await app.driver.request("POST", PATH, json=CHAT)
            await exchange.next_chunk()
            assert sorted(seen) == ["session closed", "session open", "user closed"]
            gate.set()
            assert (await exchange.body()).endswith(b"data: [DONE]\n\n")
            await exchange.finished()
    assert app.settled[0].identity.subject == "ann of session"


async def test_shutdown_lets_a_running_stream_end(make: Any) -> None:
    gate = asyncio.Event()
    async with no_leaks(), ScriptedUpstream([held(gate)]) as upstream:
        app = world(make, upstream)
        async with app.driver.lifespan():
            exchange = await ASGIDriver(app.app).request("POST", PATH, json=CHAT)
            await exchange.next_chunk()
            asyncio.get_running_loop().call_later(0.05, gate.set)
        assert (await exchange.body()).endswith(b"data: [DONE]\n\n")
        await exchange.finished()
    assert [item.outcome for item in app.settled] == ["ok"]
