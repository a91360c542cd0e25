"""Streams: on time, with no dependency held, and over when the caller leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Stall, Wait, chat_events, no_leaks
from asgi_llm_fastapi import llm_router

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
PATH = "/llm/v1/chat/completions"


class World:
    """An application in front of a scripted upstream."""

    def __init__(self, upstream: ScriptedUpstream, **options: Any) -> None:
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}
        self.settled: list[Exchange] = []
        self.gateway = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=self.settled.append)
        self.app = FastAPI()
        self.app.include_router(llm_router(self.gateway, **options), prefix="/llm")
        self.driver = ASGIDriver(self.app)


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


async def test_every_dependency_is_closed_before_the_first_byte() -> None:
    """Whatever its scope, and however deep: a database session would otherwise be held while the model talks."""
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        seen.append("session open")
        yield "session"
        seen.append("session closed")

    async def user(_session: str = Depends(session)) -> AsyncIterator[str]:
        yield "ann"
        seen.append("user closed")

    async def plan(_session: str = Depends(session)) -> AsyncIterator[None]:
        yield
        seen.append("plan closed")

    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        world = World(upstream, identity=user, dependencies=[Depends(plan)])
        async with world.driver.lifespan():
            exchange = await world.driver.request("POST", PATH, json=CHAT)
            await exchange.next_chunk()
            assert sorted(seen) == ["plan closed", "session closed", "session open", "user closed"]
            gate.set()
            assert (await exchange.body()).endswith(b"data: [DONE]\n\n")
            await exchange.finished()
    assert world.settled[0].identity.subject == "ann"


async def test_dependencies_see_the_refusal_of_those_after_them() -> None:
    """A session's roll-back goes by it, though the answer is the gateway's to phrase."""
    seen: list[str] = []

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except HTTPException as error:
            seen.append(f"rolled back: {error.detail}")
            raise

    def user(_session: None = Depends(session)) -> None:
        raise HTTPException(403, "no")

    async with ScriptedUpstream([]) as upstream:
        world = World(upstream, identity=user)
        exchange = await world.driver.request("POST", PATH, json=CHAT)
        assert (await exchange.start()).status == 403
        assert (await exchange.json())["error"]["message"] == "no"
    assert seen == ["rolled back: no"]


async def test_background_tasks_and_state_of_dependencies_are_kept() -> None:
    done: list[str] = []
    states: list[str] = []

    def user(request: Request, tasks: BackgroundTasks) -> str:
        request.state.user = "ann"
        tasks.add_task(done.append, "ran")
        return "ann"

    async with ScriptedUpstream([Answer.sse(chat_events())]) as upstream:
        world = World(upstream, identity=user)

        async def outside(scope: Any, receive: Any, send: Any) -> None:
            await world.app(scope, receive, send)
            states.append(scope["state"]["user"])

        exchange = await ASGIDriver(outside).request("POST", PATH, json=CHAT)
        await exchange.body()
        await exchange.finished()
    assert (done, states) == (["ran"], ["ann"])


async def test_a_caller_that_leaves_is_heard_below_a_middleware_of_the_application() -> None:
    """Starlette's BaseHTTPMiddleware puts a task group and a queue between the server and the route."""
    async with no_leaks(), ScriptedUpstream([Answer.sse([*chat_events()[:2], Stall()])]) as upstream:
        world = World(upstream)

        @world.app.middleware("http")
        async def outside(request: Request, call_next: Any) -> Any:
            return await call_next(request)

        async with world.driver.lifespan():
            exchange = await world.driver.request("POST", PATH, json=CHAT)
            await exchange.next_chunk()
            exchange.disconnect()
            await upstream.requests[0].wait_disconnected()
            await exchange.finished()
    assert [item.outcome for item in world.settled] == ["disconnected"]


async def test_the_body_is_left_to_the_gateway() -> None:
    """Byte for byte, odd spacing included, and even where a dependency is resolved first."""
    raw = b' {"messages" :[{"role":"user","content":"hi"}],  "model":"m","stream":false} '
    async with ScriptedUpstream([Answer.json({"object": "chat.completion", "choices": []})]) as upstream:
        world = World(upstream, identity=lambda: "ann")
        received: list[str] = []

        async def outside(scope: Any, receive: Any, send: Any) -> None:
            async def told() -> Any:
                message = await receive()
                received.append(message["type"])
                return message

            await world.app(scope, told, send)

        exchange = await ASGIDriver(outside).request(
            "POST", PATH, {"content-type": "application/json"}, [raw[:20], raw[20:]]
        )
        assert json.loads(await exchange.body()) == {"object": "chat.completion", "choices": []}
        assert upstream.requests[0].body == raw
        assert received.count("http.request") == 2


async def test_a_refusal_reads_no_body() -> None:
    def user() -> None:
        raise HTTPException(401, "no")

    async with ScriptedUpstream([]) as upstream:
        exchange = await World(upstream, identity=user).driver.request("POST", PATH, hold_body=True)
        assert (await exchange.start()).status == 401
        await exchange.finished()
