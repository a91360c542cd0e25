"""Streams: on time, over when the caller leaves, settled exactly once."""

import asyncio
import socket
from collections.abc import Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import pytest

from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Stall, Wait, chat_events, no_leaks
from asgi_llm.testing.patience import within

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
STREAMS = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": {**CHAT, "max_tokens": 9},
    "/v1/responses": {"model": "m", "stream": True, "input": "hi"},
    "/v1beta/models/m:streamGenerateContent?alt=sse": {"contents": [{"parts": [{"text": "hi"}]}]},
}


def tree(upstream: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {"targets": {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}, **more}


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


def endless() -> Answer:
    return Answer.sse([*chat_events()[:2], Stall()])


def flood() -> Answer:
    """More than any buffer on the way holds, and then nothing."""
    return Answer.sse([*chat_events(["x" * 50_000] * 400)[:400], Stall()])


async def until(true: Callable[[], Any]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.01)

    await within(wait(), 60, "what the test waits for")


@pytest.mark.parametrize("path", STREAMS)
async def test_the_first_byte_comes_before_the_last_is_made(serve: Any, path: str) -> None:
    gate = asyncio.Event()
    async with (
        ScriptedUpstream([held(gate)]) as upstream,
        serve(tree(upstream)) as served,
        served.client.stream("POST", served.base + path, json=STREAMS[path]) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        pieces = answer.aiter_bytes()
        first = await within(anext(pieces), 60, "waiting for the first byte")
        assert b" three" not in first
        gate.set()
        assert b" three" in b"".join([piece async for piece in pieces])
        assert [item.outcome for item in await served.settled(1)] == ["ok"]


async def test_a_caller_that_leaves_before_there_is_an_answer(serve: Any, way: Any) -> None:
    if way.wsgi:
        pytest.skip("WSGI tells nobody that a caller has left")
    async with ScriptedUpstream([Answer.silence()]) as upstream, serve(tree(upstream)) as served:
        asking = asyncio.create_task(served.post("/v1/chat/completions", {**CHAT, "stream": False}))
        request = await upstream.wait_request(1)
        asking.cancel()
        await asyncio.wait([asking])
        await request.wait_disconnected()
        assert [item.outcome for item in await served.settled(1)] == ["disconnected"]


async def test_a_caller_that_leaves_in_the_middle_of_a_stream(serve: Any, way: Any) -> None:
    """Under WSGI it is noticed when something is sent, and a keep-alive is enough."""
    stream = {"keepalive": 0.05} if way.wsgi else {}
    async with ScriptedUpstream([endless()]) as upstream, serve(tree(upstream, stream=stream)) as served:
        async with served.client.stream("POST", f"{served.base}/v1/chat/completions", json=CHAT) as answer:
            await anext(answer.aiter_bytes())
        await upstream.requests[0].wait_disconnected()
        assert [item.outcome for item in await served.settled(1)] == ["disconnected"]


async def test_a_caller_that_stops_reading_and_leaves(serve: Any) -> None:
    """While what is sent to it waits, on the way through every buffer of a real connection."""
    async with ScriptedUpstream([flood()]) as upstream, serve(tree(upstream)) as served:
        at = urlsplit(served.base)
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(caller, (at.hostname, at.port))
            body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
            head = f"POST {at.path}/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            await loop.sock_sendall(caller, f"{head}content-type: application/json\r\n\r\n".encode() + body)
            await within(loop.sock_recv(caller, 100), 60, "waiting for the answer")
            sent = -1
            while sent != (sent := upstream.requests[0].sent):  # until nothing moves any more
                await asyncio.sleep(0.2)
            assert not upstream.requests[0].answered.is_set()
        await upstream.requests[0].wait_disconnected()
        assert [item.outcome for item in await served.settled(1)] == ["disconnected"]


@pytest.mark.parametrize("server", ["returns", "raises", "cancels"])
@pytest.mark.parametrize("moment", ["before the head", "between pieces", "while a send blocks"])
async def test_whenever_the_caller_leaves_it_is_settled_once(way: Any, moment: str, server: str) -> None:
    """Message by message, whether the server's ``send`` returns or raises then, or the server cancels what serves the
    request; and nothing is left behind."""
    if way.wsgi:
        pytest.skip("there are no messages in WSGI")
    if server == "cancels" and way.__name__ == "DjangoView" and version("django").startswith("5."):
        pytest.skip("Django 5.2 lets its view run on when a server cancels it without telling it of the disconnect")
    answer = {"before the head": Answer.silence(), "while a send blocks": flood()}.get(moment, endless())
    async with no_leaks(), ScriptedUpstream([answer]) as upstream:
        mount = way({**tree(upstream), "auth": {"anonymous": True}})
        async with mount.opened():
            driver = ASGIDriver(mount.app, after_disconnect="raise" if server == "raises" else "return")
            async with driver.lifespan():
                exchange = await driver.request("POST", "/llm/v1/chat/completions", json=CHAT)
                if moment == "before the head":
                    await upstream.wait_request(1)
                else:
                    await exchange.next_chunk()
                if moment == "while a send blocks":
                    exchange.block_sends()
                    await exchange.wait_blocked()
                exchange.cancel() if server == "cancels" else exchange.disconnect()
                await upstream.requests[0].wait_disconnected()
                await until(lambda: mount.settled)
                await driver.aclose()
    assert [item.outcome for item in mount.settled] == ["disconnected"]


async def test_with_a_lifespan_or_without(serve: Any) -> None:
    """Where no server tells of the start, the first request is it."""
    gate = asyncio.Event()
    gate.set()
    for lifespan in ("on", "off"):
        async with ScriptedUpstream([held(gate)]) as upstream, serve(tree(upstream), lifespan=lifespan) as served:
            answer = await served.post("/v1/chat/completions", CHAT)
            assert answer.text.endswith("data: [DONE]\n\n")
            assert [item.outcome for item in await served.settled(1)] == ["ok"]


async def test_many_at_once_are_kept_apart(serve: Any) -> None:
    async with serve() as served:
        said = [f"number {number}" for number in range(20)]
        bodies = [{"model": "echo", "messages": [{"role": "user", "content": one}]} for one in said]
        answers = await asyncio.gather(*(served.post("/v1/chat/completions", body) for body in bodies))
        assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == said
        assert len({item.id for item in await served.settled(20)}) == 20
