"""The same request, several at a time: one of them asks the upstream, and what becomes of it harms no other."""

import asyncio
from typing import Any

import pytest

from asgi_llm import Identity
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import Answer, Stall, Wait, chat_completion, chat_error, chat_events

CACHE = {"sampling": "unset"}


def waiting(event: asyncio.Event, *, stream: bool = False, text: str = "Hello", **options: Any) -> Answer:
    """An answer that comes when the test lets it; of a stream, the beginning comes before."""
    if stream:
        events = chat_events(tuple(text), **options)
        return Answer.sse([*events[:2], Wait(event), *events[2:]])
    return Answer((Wait(event), *Answer.json(chat_completion(text, **options)).steps))


async def followers(up: Any, count: int) -> None:
    """Until so many wait for somebody else's answer."""
    async with asyncio.timeout(20):
        while up.gateway.runtime().cache.flights.followers != count:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_upstream_is_asked_once(world: Any, stream: bool) -> None:
    up, event = await world("chat", cache=CACHE, ledger={"enabled": True}), asyncio.Event()
    up.push(waiting(event, stream=stream))
    leader = asyncio.create_task(up.ask(stream=stream))
    await up.upstream.wait_request()
    others = [
        asyncio.create_task(up.ask(dialect, stream=streamed))
        for dialect in ("chat", "responses", "gemini")
        for streamed in (False, True)
    ]
    await followers(up, 6)
    event.set()
    got = await asyncio.gather(leader, *others)
    assert {one.text for one in got} == {"Hello"}
    assert [one.headers["x-llm-cache"] for one in got] == ["miss"] + ["hit"] * 6
    assert len(up.upstream.requests) == 1
    ledger = up.gateway.runtime().ledger
    await ledger.flush()
    rows = await ledger.ledger.rows(ANYBODY)
    assert sorted((row.cost_source or "", row.attempts) for row in rows) == [("", 1)] + [("cached", 0)] * 6
    assert not len(up.gateway.runtime().cache.flights)


@pytest.mark.parametrize("how", ["leaves", "fails", "breaks off"])
async def test_where_the_leader_is_lost_another_takes_its_place(world: Any, how: str) -> None:
    up, event = await world("chat", cache=CACHE), asyncio.Event()
    if how == "leaves":
        up.push(Answer.sse([*chat_events(("Hel", "lo"))[:2], Stall()]))
    elif how == "fails":
        up.push(Answer((Wait(event), *chat_error(400).steps)))
    else:
        up.push(Answer.sse([*chat_events(("Hel", "lo"))[:2], Wait(event)]))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    leader = await up.driver.request("POST", "/v1/chat/completions", json=body)
    await up.upstream.wait_request()
    others = [asyncio.create_task(up.ask()) for _ in range(5)]
    await followers(up, 5)
    up.says("Hello")
    event.set()
    if how == "leaves":
        await leader.start()
        leader.disconnect()
    assert [one.text for one in await asyncio.gather(*others)] == ["Hello"] * 5
    await leader.finished()
    assert len(up.upstream.requests) == 2
    assert not len(up.gateway.runtime().cache.flights)


async def test_where_nothing_is_kept_each_asks_for_itself(world: Any) -> None:
    up, event = await world("chat", cache=CACHE), asyncio.Event()
    up.push(waiting(event, finish="length"))
    leader = asyncio.create_task(up.ask())
    await up.upstream.wait_request()
    others = [asyncio.create_task(up.ask()) for _ in range(3)]
    await followers(up, 3)
    for _ in others:
        up.says("Hello", finish="length")
    event.set()
    assert {one.text for one in await asyncio.gather(leader, *others)} == {"Hello"}
    assert len(up.upstream.requests) == 4


async def test_who_waited_long_enough_asks_for_itself(world: Any) -> None:
    up, event = await world("chat", cache={**CACHE, "wait": 0.01}), asyncio.Event()
    up.push(waiting(event))
    up.says("mine")
    leader = asyncio.create_task(up.ask())
    await up.upstream.wait_request()
    assert (await up.ask()).text == "mine"
    event.set()
    assert (await leader).text == "Hello"


async def test_no_more_wait_than_may(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_llm.pipeline.flights._MOST", 1)
    up, event = await world("chat", cache=CACHE), asyncio.Event()
    up.push(waiting(event))
    up.says("mine")
    leader = asyncio.create_task(up.ask())
    await up.upstream.wait_request()
    other = asyncio.create_task(up.ask())
    await followers(up, 1)
    assert (await up.ask()).text == "mine"
    event.set()
    assert {one.text for one in await asyncio.gather(leader, other)} <= {"Hello", "mine"}
    assert up.gateway.runtime().cache.flights.followers == 0


async def test_no_tenant_waits_for_another(world: Any) -> None:
    up, event = await world("chat", cache=CACHE), asyncio.Event()
    up.push(waiting(event))
    up.says("other")
    leader = asyncio.create_task(up.ask(identity=Identity(subject="ann", tenant="acme")))
    await up.upstream.wait_request()
    assert (await up.ask(identity=Identity(subject="ann", tenant="other"))).text == "other"
    event.set()
    assert (await leader).text == "Hello"


async def test_who_leaves_while_it_waits_is_not_waited_for(world: Any) -> None:
    up, event = await world("chat", cache=CACHE, stream={"on_disconnect": "drain"}), asyncio.Event()
    up.push(waiting(event))
    leader = asyncio.create_task(up.ask())
    await up.upstream.wait_request()
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    other = await up.driver.request("POST", "/v1/chat/completions", json=body)
    await followers(up, 1)
    other.disconnect()
    await other.finished()
    assert up.settled[0].outcome == "disconnected"
    event.set()
    assert (await leader).text == "Hello"
    assert len(up.upstream.requests) == 1


async def test_a_stream_that_waits_is_kept_open(world: Any) -> None:
    up, event = await world("chat", cache=CACHE, stream={"keepalive": 0.01}), asyncio.Event()
    up.push(waiting(event))
    leader = asyncio.create_task(up.ask())
    await up.upstream.wait_request()
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    other = await up.driver.request("POST", "/v1/chat/completions", json=body)
    assert (await other.next_chunk()).startswith(b":")
    event.set()
    told = await other.body()
    assert told.endswith(b"data: [DONE]\n\n")
    assert b"Hello" in told
    assert (await leader).text == "Hello"
    await other.finished()
    assert len(up.upstream.requests) == 1
