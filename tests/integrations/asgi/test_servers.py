"""The gateway under the servers that people run it with, over sockets."""

import asyncio
from typing import Any

import httpx
import pytest

from asgi_llm.testing import Answer, ScriptedUpstream, Stall, Wait, chat_events

APPS = {"wrapped": "/llm", "old": "/llm", "alone": ""}
"""What is served -> where the gateway is in it."""
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "Hello there"}]}
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)


@pytest.mark.parametrize("app", APPS)
async def test_answers_and_streams(server: Any, start: Any, app: str) -> None:
    """Whole answers, streams of which the first byte comes before the last is made, errors, and what is not its own."""
    gate = asyncio.Event()
    base = APPS[app]
    async with (
        ScriptedUpstream([held(gate)]) as upstream,
        start(server, f"served:{app}", upstream) as running,
        client(running.url) as http,
    ):
        whole = await http.post(f"{base}/v1/chat/completions", json=HELLO)
        assert whole.status_code == 200
        assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
        assert (await running.next_settled())["outcome"] == "ok"

        async with http.stream("POST", f"{base}/v1/chat/completions", json=CHAT) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            pieces = answer.aiter_bytes()
            first = await asyncio.wait_for(anext(pieces), 60)
            assert b" three" not in first
            gate.set()
            rest = b"".join([piece async for piece in pieces])
        assert rest.endswith(b"data: [DONE]\n\n")
        assert (await running.next_settled())["outcome"] == "ok"

        big = {**HELLO, "messages": [{"role": "user", "content": "x" * 3_000_000}]}
        answer = await http.post(f"{base}/v1/messages", json={**big, "max_tokens": 9})
        assert len(answer.json()["content"][0]["text"]) == 3_000_000
        wrong = await http.post(f"{base}/v1/messages", content=b"{")
        assert (wrong.status_code, wrong.json()["type"]) == (400, "error")
        assert (await http.get(f"{base}/v1/nothing")).status_code == 404
        assert (await http.head(f"{base}/health")).headers["content-length"] == "15"
        if base:
            page = (await http.get("/llmfoo")).json()
            assert page["path"] == "/llmfoo"
            assert page["open"] == (app == "wrapped" and server.lifespan)


@pytest.mark.parametrize("app", ["wrapped"])
async def test_a_caller_that_leaves_is_settled_once(server: Any, start: Any, app: str) -> None:
    """In the middle of a stream, and before there is an answer."""
    script = [Answer.sse([*chat_events()[:2], Stall()]), Answer.silence()]
    async with ScriptedUpstream(script) as upstream, start(server, f"served:{app}", upstream) as running:
        async with (
            client(running.url) as http,
            http.stream("POST", f"{APPS[app]}/v1/chat/completions", json=CHAT) as answer,
        ):
            await anext(answer.aiter_bytes())
        await (await upstream.wait_request(1)).wait_disconnected()
        assert (await running.next_settled())["outcome"] == "disconnected"

        async with client(running.url) as http:
            asking = asyncio.create_task(http.post(f"{APPS[app]}/v1/chat/completions", json={**CHAT, "stream": False}))
            await upstream.wait_request(2)
            asking.cancel()
            await asyncio.wait([asking])
        await upstream.requests[1].wait_disconnected()
        assert (await running.next_settled())["outcome"] == "disconnected"

        async with client(running.url) as http:
            assert (await http.post(f"{APPS[app]}/v1/chat/completions", json=HELLO)).status_code == 200
        assert (await running.next_settled())["outcome"] == "ok"
    assert running.unread == 0


@pytest.mark.parametrize("app", ["wrapped", "old"])
async def test_a_server_that_stops_lets_a_running_stream_end(server: Any, start: Any, app: str) -> None:
    """Where the server lets it; where it does not, the upstream is told and the exchange is settled all the same."""
    gate = asyncio.Event()
    async with (
        ScriptedUpstream([held(gate)]) as upstream,
        start(server, f"served:{app}", upstream) as running,
        client(running.url) as http,
        http.stream("POST", f"{APPS[app]}/v1/chat/completions", json=CHAT) as answer,
    ):
        pieces = answer.aiter_bytes()
        await anext(pieces)
        running.terminate()
        if server.graceful:
            # Long enough for a server that stops at once to have done so.
            asyncio.get_running_loop().call_later(0.5, gate.set)
            rest = b"".join([piece async for piece in pieces])
            assert rest.endswith(b"data: [DONE]\n\n")
            assert (await running.next_settled())["outcome"] == "ok"
        else:
            with pytest.raises(httpx.TransportError):
                async for _ in pieces:
                    pass
            await upstream.requests[0].wait_disconnected()
            assert (await running.next_settled())["outcome"] == "disconnected"
        await running.stopped()
    assert running.unread == 0


async def test_behind_a_path_that_the_server_knows_of(server: Any, start: Any) -> None:
    """uvicorn puts the path in front of what the client asked for, as behind a proxy that took it away; the others
    leave the request as it is, whether or not a proxy did so."""
    reached = ["/llm"] if "uvicorn" in server.command else ["/api/llm", "/llm"]
    async with start(server, "served:wrapped", None, server.mount, "/api") as running, client(running.url) as http:
        for base in reached:
            answer = await http.post(f"{base}/v1/chat/completions", json=HELLO)
            assert answer.json()["object"] == "chat.completion"
        assert (await http.get("/llmfoo")).json()["root_path"] == "/api"
