"""So many requests at a time, for the gateway and for a target: the others wait in order, or are refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.runtime import Runtime
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait, chat_events, chat_text, no_leaks

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


class House:
    """A gateway before an upstream that answers the stream of each request in two halves, the second when told."""

    def __init__(self, upstream: ScriptedUpstream, gateway: Gateway, go_on: asyncio.Event) -> None:
        self.upstream = upstream
        self.gateway = gateway
        self.go_on = go_on
        self.driver = ASGIDriver(gateway.asgi)

    async def ask(self) -> Any:
        return await self.driver.request("POST", "/v1/chat/completions", json={**CHAT, "stream": True})

    @property
    def runtime(self) -> Runtime:
        return self.gateway.runtime()


@asynccontextmanager
async def house(where: str, **limits: Any) -> AsyncIterator[House]:
    go_on = asyncio.Event()
    first, *rest = chat_events(["Hel", "lo!"])
    target: dict[str, Any] = {"provider": "openai_compatible"}
    queue = {"queue": 1} | {name: value for name, value in limits.items() if name != "on_disconnect"}
    if where == "target":
        target["concurrency"] = queue.pop("concurrency", 1)
    else:
        queue.setdefault("concurrency", 1)
    async with no_leaks(), ScriptedUpstream(Answer.sse([first, Wait(go_on), *rest])) as upstream:
        target["base_url"] = f"{upstream.url}/v1"
        tree: dict[str, Any] = {"targets": {"up": target}, "auth": {"anonymous": True}, "limits": queue}
        tree["stream"] = {"on_disconnect": limits.get("on_disconnect", "cancel")}
        gateway = Gateway(tree)
        async with gateway.running():
            yield House(upstream, gateway, go_on)
            gate = gateway.runtime().gate or gateway.runtime().fleet.crews["up"].restraint.gate
            assert gate is not None
            assert (gate.inside, gate.waiting) == (0, 0)


everywhere = pytest.mark.parametrize("where", ["gateway", "target"])


def waiting(house: House) -> int:
    gate = house.runtime.gate or house.runtime.fleet.crews["up"].restraint.gate
    assert gate is not None
    return gate.waiting


async def until_waiting(house: House, number: int) -> None:
    async with asyncio.timeout(60):
        while waiting(house) != number:
            await asyncio.sleep(0.001)


@everywhere
async def test_a_place_is_held_until_the_body_has_ended(where: str) -> None:
    async with house(where) as one:
        first = await one.ask()
        await first.next_chunk()
        second = await one.ask()
        await until_waiting(one, 1)
        assert len(one.upstream.requests) == 1
        one.go_on.set()
        assert b"[DONE]" in await first.body()
        assert (await second.start()).status == 200
        await second.body()
        await asyncio.gather(first.finished(), second.finished())
        assert len(one.upstream.requests) == 2


@everywhere
async def test_one_too_many_is_refused_at_once(where: str) -> None:
    async with house(where) as one:
        first, second = await one.ask(), await one.ask()
        await until_waiting(one, 1)
        third = await one.ask()
        head = await third.start()
        assert (head.status, head.header("x-llm-error-code")) == (429, "queue_full")
        assert int(head.header("retry-after") or 0) >= 1
        one.go_on.set()
        for exchange in (first, second, third):
            await exchange.finished()


@everywhere
async def test_who_waits_too_long_is_refused_with_a_status(where: str) -> None:
    async with house(where, queue_timeout=0.05) as one:
        first, second = await one.ask(), await one.ask()
        head = await second.start()
        assert (head.status, head.header("x-llm-error-code")) == (503, "queue_timeout")
        one.go_on.set()
        for exchange in (first, second):
            await exchange.finished()


@everywhere
@pytest.mark.parametrize("on_disconnect", ["cancel", "drain"])
async def test_who_leaves_the_queue_makes_room_at_once(where: str, on_disconnect: str) -> None:
    """Also where the settings say that answers are read on: there is none yet."""
    async with house(where, on_disconnect=on_disconnect) as one:
        first, second = await one.ask(), await one.ask()
        await until_waiting(one, 1)
        second.disconnect()
        await until_waiting(one, 0)
        await second.finished()
        third = await one.ask()
        await until_waiting(one, 1)
        one.go_on.set()
        assert (await third.start()).status == 200
        for exchange in (first, third):
            await exchange.finished()
        assert len(one.upstream.requests) == 2


async def test_who_leaves_in_mid_stream_gives_the_place_to_the_next() -> None:
    async with house("gateway") as one:
        first, second = await one.ask(), await one.ask()
        await until_waiting(one, 1)
        await first.next_chunk()
        first.disconnect()
        await one.upstream.wait_request(2)
        one.go_on.set()
        await asyncio.gather(first.finished(), second.finished())


async def test_a_full_target_leaves_the_request_to_the_next_leg() -> None:
    go_on = asyncio.Event()
    first, *rest = chat_events(["Hel", "lo!"])
    async with (
        no_leaks(),
        ScriptedUpstream(Answer.sse([first, Wait(go_on), *rest])) as full,
        ScriptedUpstream(chat_text("Hello!")) as free,
    ):
        targets = {
            "full": {"provider": "openai_compatible", "base_url": f"{full.url}/v1", "concurrency": 1},
            "free": {"provider": "openai_compatible", "base_url": f"{free.url}/v1"},
        }
        routes = [{"model": "*", "target": "full", "fallback": ["free"]}]
        gateway = Gateway({"targets": targets, "routes": routes, "auth": {"anonymous": True}})
        async with gateway.running():
            driver = ASGIDriver(gateway.asgi)
            held = await driver.request("POST", "/v1/chat/completions", json={**CHAT, "stream": True})
            await held.next_chunk()
            other = await driver.request("POST", "/v1/chat/completions", json=CHAT)
            assert (await other.start()).status == 200
            await other.finished()
            go_on.set()
            await held.finished()
        assert (len(full.requests), len(free.requests)) == (1, 1)


async def test_a_place_is_given_back_when_the_leg_is_left() -> None:
    async with no_leaks(), ScriptedUpstream(Answer.reset()) as bad, ScriptedUpstream(chat_text("Hello!")) as well:
        targets = {
            "bad": {
                "provider": "openai_compatible",
                "base_url": f"{bad.url}/v1",
                "concurrency": 1,
                "retry": {"base": 0},
                "breaker": {"failures": 99},
            },
            "well": {"provider": "openai_compatible", "base_url": f"{well.url}/v1"},
        }
        routes = [{"model": "*", "target": "bad", "fallback": ["well"]}]
        gateway = Gateway({"targets": targets, "routes": routes, "auth": {"anonymous": True}})
        async with gateway.running():
            driver = ASGIDriver(gateway.asgi)
            for _ in range(3):
                exchange = await driver.request("POST", "/v1/chat/completions", json=CHAT)
                assert (await exchange.start()).status == 200
                await exchange.finished()
            gate = gateway.runtime().fleet.crews["bad"].restraint.gate
            assert gate is not None
            assert gate.inside == 0
        assert len(bad.requests) == 9
