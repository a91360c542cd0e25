"""The caller leaves, at every moment there is. The upstream hears of it at once, the exchange is settled exactly once,
and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Recorded,
    ScriptedUpstream,
    Stall,
    Tokens,
    Wait,
    chat_events,
    messages_events,
    no_leaks,
)

PROMPT = 0.1
"""Seconds within which an upstream must know, on a quiet machine: the law."""
STEP = 0.005

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
EVENTS: dict[str, Callable[..., list[Any]]] = {"chat": chat_events, "messages": messages_events}

pairs = pytest.mark.parametrize(
    ("caller", "upstream_dialect"),
    [("chat", "chat"), ("messages", "messages"), ("chat", "messages"), ("messages", "chat")],
    ids=["chat", "messages", "chat-messages", "messages-chat"],
)
sends = pytest.mark.parametrize("after_disconnect", ["return", "raise"])


class World:
    """A gateway before a scripted upstream, and what was settled."""

    def __init__(self, upstream: ScriptedUpstream, dialect: str, **settings: Any) -> None:
        self.settled: list[Exchange] = []
        provider = "anthropic" if dialect == "messages" else "openai_compatible"
        target = {"provider": provider, "base_url": f"{upstream.url}/v1", "api_key": "sk-up"}
        self.gateway = Gateway(
            {"targets": {"up": target}, "auth": {"anonymous": True}, **settings}, on_settled=self.settled.append
        )
        self.driver = ASGIDriver(self.gateway.asgi)

    async def ask(self, dialect: str, *, stream: bool = True, **options: Any) -> Any:
        body = {"model": "m", "max_tokens": 50, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
        return await self.driver.request("POST", PATHS[dialect], json=body, **options)


@asynccontextmanager
async def world(script: Any, dialect: str, **settings: Any) -> AsyncIterator[tuple[World, ScriptedUpstream]]:
    """Leaves only if nothing is left behind and every exchange was settled once."""
    async with no_leaks(), ScriptedUpstream(script) as upstream:
        made = World(upstream, dialect, **settings)
        async with made.gateway.running() as gateway:
            yield made, upstream
            assert gateway.runtime().active == 0
        assert len(made.settled) == len({exchange.id for exchange in made.settled})


async def told_at_once(request: Recorded) -> None:
    """That the upstream knows within ``PROMPT``, in steps of the loop's own time: while a busy machine holds all of it
    up, no step passes."""
    for _ in range(round(PROMPT / STEP)):
        if request.disconnected.is_set():
            return
        await asyncio.sleep(STEP)
    assert request.disconnected.is_set()


def stream_then_stall(dialect: str, count: int) -> Answer:
    """The first ``count`` events of a stream, then silence."""
    return Answer.sse([*EVENTS[dialect](("Hel", "lo", " there"))[:count], Stall()])


@pairs
@sends
async def test_before_the_body_is_whole(caller: str, upstream_dialect: str, after_disconnect: Any) -> None:
    async with world([], upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller, hold_body=True, after_disconnect=after_disconnect)
        exchange.send_body(b'{"model":')
        exchange.disconnect()
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]
        assert upstream.requests == []
        assert exchange.messages == []


@pairs
@sends
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_before_the_upstream_answers(
    caller: str, upstream_dialect: str, after_disconnect: Any, stream: bool
) -> None:
    async with world(Answer.silence(), upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller, stream=stream, after_disconnect=after_disconnect)
        request = await upstream.wait_request()
        exchange.disconnect()
        await told_at_once(request)
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]
        assert [attempt.result for attempt in here.settled[0].attempts] == ["abandoned"]
        assert exchange.messages == []


@pairs
@sends
async def test_after_the_head_but_before_the_first_event(
    caller: str, upstream_dialect: str, after_disconnect: Any
) -> None:
    async with world(stream_then_stall(upstream_dialect, 0), upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller, after_disconnect=after_disconnect)
        request = await upstream.wait_request()
        await asyncio.sleep(0.02)
        exchange.disconnect()
        await told_at_once(request)
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]
        assert exchange.messages == []


@pairs
@sends
@pytest.mark.parametrize("pause", [0.0, 0.08], ids=["at once", "later"])
async def test_in_mid_stream(caller: str, upstream_dialect: str, after_disconnect: Any, pause: float) -> None:
    async with world(stream_then_stall(upstream_dialect, 3), upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller, after_disconnect=after_disconnect)
        assert await exchange.next_chunk()
        await asyncio.sleep(pause)
        exchange.disconnect()
        await told_at_once(upstream.requests[0])
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]


@pairs
@sends
async def test_while_a_send_is_blocked(caller: str, upstream_dialect: str, after_disconnect: Any) -> None:
    """A caller that stopped reading leaves: the upstream must hear of it even while ``send`` does not return."""
    async with world(stream_then_stall(upstream_dialect, 4), upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller, after_disconnect=after_disconnect)
        exchange.block_sends()
        await exchange.wait_blocked()
        exchange.disconnect()
        await told_at_once(upstream.requests[0])
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]


@pairs
@sends
async def test_in_the_keep_alive_phase(caller: str, upstream_dialect: str, after_disconnect: Any) -> None:
    """The status is out, but the upstream has not said a word."""
    async with world(Answer.silence(), upstream_dialect, stream={"keepalive": 0.05}) as (here, upstream):
        exchange = await here.ask(caller, after_disconnect=after_disconnect)
        assert (await exchange.start()).status == 200
        assert await exchange.next_chunk()
        exchange.disconnect()
        await told_at_once(upstream.requests[0])
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]


@pairs
async def test_the_host_cancels_the_request(caller: str, upstream_dialect: str) -> None:
    """Some servers and frameworks cancel the task; that must pass through, and settle all the same."""
    async with world(stream_then_stall(upstream_dialect, 3), upstream_dialect) as (here, upstream):
        exchange = await here.ask(caller)
        await exchange.next_chunk()
        exchange.cancel()
        await told_at_once(upstream.requests[0])
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]


@pairs
@pytest.mark.parametrize("blocked", [False, True], ids=["reading", "blocked"])
async def test_draining_reads_on_for_the_usage(caller: str, upstream_dialect: str, blocked: bool) -> None:
    """With ``on_disconnect = "drain"`` the upstream may finish, and what it used is known in the end."""
    release = asyncio.Event()
    events = EVENTS[upstream_dialect](("Hel", "lo"), tokens=Tokens(input=11, output=7))
    held: list[Any] = []
    for number, event in enumerate(events):
        held += [event] if number != 3 else [Wait(release), event]
    settings = {"stream": {"on_disconnect": "drain"}}
    async with world(Answer.sse(held), upstream_dialect, **settings) as (here, upstream):
        exchange = await here.ask(caller)
        if blocked:
            exchange.block_sends()
            await exchange.wait_blocked()
        else:
            await exchange.next_chunk()
        while not any(task.get_name() == "asgi-llm disconnect watch" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.001)
        exchange.disconnect()
        for _ in range(50):  # that is heard before the upstream says more
            await asyncio.sleep(0)
        release.set()
        await exchange.finished()
        assert not upstream.requests[0].disconnected.is_set()
        (settled,) = here.settled
        assert settled.outcome == "disconnected"
        assert settled.usage is not None
        assert (settled.usage.input, settled.usage.output) == (11, 7)


@pairs
@pytest.mark.parametrize("mode", ["cancel", "drain"])
async def test_a_caller_that_hangs_up_at_the_last_event_had_the_whole_answer(
    caller: str, upstream_dialect: str, mode: str
) -> None:
    """SDKs stop reading at the terminal event; the upstream may take its time to end the body."""
    answer = Answer.sse([*EVENTS[upstream_dialect](("Hel", "lo"), tokens=Tokens(input=11, output=7)), Stall()])
    settings = {"stream": {"on_disconnect": mode, "drain_timeout": 0.05}}
    async with world(answer, upstream_dialect, **settings) as (here, upstream):
        exchange = await here.ask(caller)
        data = b""
        while not data.endswith((b"[DONE]\n\n", b'"message_stop"}\n\n')):
            data += await exchange.next_chunk()
        exchange.disconnect()
        await upstream.requests[0].wait_disconnected()
        await exchange.finished()
        (settled,) = here.settled
        assert settled.outcome == "ok"
        assert settled.usage is not None
        assert (settled.usage.input, settled.usage.output) == (11, 7)
        assert settled.attempts[-1].result == "ok"


async def test_draining_has_an_end() -> None:
    settings = {"stream": {"on_disconnect": "drain", "drain_timeout": 0.05}}
    async with world(stream_then_stall("chat", 3), "chat", **settings) as (here, upstream):
        exchange = await here.ask("chat")
        await exchange.next_chunk()
        exchange.disconnect()
        await upstream.requests[0].wait_disconnected()
        await exchange.finished()
        assert [item.outcome for item in here.settled] == ["disconnected"]


async def test_a_short_answer_never_starts_a_watch() -> None:
    """A JSON answer that is there at once is served without a task of its own."""
    names: set[str] = set()

    async with world(Answer.json({"choices": []}), "chat") as (here, _upstream):
        exchange = await here.ask("chat", stream=False)
        while not exchange.messages:
            names |= {task.get_name() for task in asyncio.all_tasks()}
            await asyncio.sleep(0)
        await exchange.finished()
        assert not [name for name in names if name.startswith("asgi-llm")]


async def test_many_leave_at_random_moments() -> None:
    """Two hundred exchanges, each left at another moment; figures, tasks and sockets all return to rest."""
    async with world(stream_then_stall("chat", 3), "chat") as (here, _upstream):

        async def visit(number: int) -> None:
            exchange = await here.ask("chat", after_disconnect="raise" if number % 2 else "return")
            await asyncio.sleep(0.001 * (number % 40))
            exchange.disconnect()
            await exchange.finished()

        await asyncio.gather(*(visit(number) for number in range(200)))
        assert {item.outcome for item in here.settled} == {"disconnected"}
        assert len(here.settled) == 200
        worker = here.gateway.runtime().fleet.crews["up"].workers[0]
        assert worker.load == 0
