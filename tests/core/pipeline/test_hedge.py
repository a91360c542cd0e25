"""A second attempt beside a slow first one: the quicker serves, the other is broken off and not blamed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait, chat_error, chat_events, chat_stream, no_leaks

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class House:
    def __init__(self, gateway: Gateway, upstreams: list[ScriptedUpstream], settled: list[Exchange]) -> None:
        self.gateway = gateway
        self.upstreams = upstreams
        self.settled = settled
        self.driver = ASGIDriver(gateway.asgi)

    async def ask(self, **more: Any) -> Any:
        return await self.driver.request("POST", "/v1/chat/completions", json=CHAT | more)

    def results(self) -> list[tuple[str, str]]:
        return sorted((one.worker, one.result) for one in self.settled[-1].attempts)


@asynccontextmanager
async def house(*scripts: Any, **more: Any) -> AsyncIterator[House]:
    async with no_leaks(), AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(ScriptedUpstream(script)) for script in scripts]
        target = {
            "provider": "openai_compatible",
            "workers": [{"url": f"{upstream.url}/v1"} for upstream in upstreams],
            "hedge": {"after": 0.02},
            "retry": {"base": 0},
            **more,
        }
        settled: list[Exchange] = []
        gateway = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
        async with gateway.running():
            yield House(gateway, upstreams, settled)
            for worker in gateway.runtime().fleet.crews["up"].workers:
                assert (worker.load, worker.breaker.state(0), worker.breaker.troubled) == (0, "closed", False)


async def test_the_quicker_serves_and_the_other_is_broken_off() -> None:
    async with house(Answer.silence(), chat_stream(["Hel", "lo!"])) as one:
        exchange = await one.ask()
        assert (await exchange.start()).status == 200
        assert b"[DONE]" in await exchange.body()
        await exchange.finished()
        assert one.results() == [("up#0", "abandoned"), ("up#1", "ok")]
        assert (one.settled[-1].why, one.settled[-1].outcome) == ("hedge", "ok")
        async with asyncio.timeout(60):
            while one.upstreams[0].connections:  # the slow one is told
                await asyncio.sleep(0.001)


async def test_a_quick_first_has_no_second() -> None:
    async with house(chat_stream(), chat_stream(), hedge={"after": 30}) as one:
        exchange = await one.ask()
        await exchange.finished()
        assert one.results() == [("up#0", "ok")]
        assert len(one.upstreams[1].requests) == 0


async def test_the_first_may_still_be_the_quicker() -> None:
    go_on = asyncio.Event()
    async with house(Answer.sse([Wait(go_on), *chat_events()]), Answer.silence()) as one:
        exchange = await one.ask()
        await one.upstreams[1].wait_request()
        go_on.set()
        assert b"[DONE]" in await exchange.body()
        await exchange.finished()
        assert one.results() == [("up#0", "ok"), ("up#1", "abandoned")]
        assert one.settled[-1].why == "first"


async def test_a_second_that_fails_does_not_end_the_first() -> None:
    go_on = asyncio.Event()
    async with house(Answer.sse([Wait(go_on), *chat_events()]), chat_error(409)) as one:
        exchange = await one.ask()
        await one.upstreams[1].wait_request()
        go_on.set()
        assert (await exchange.start()).status == 200
        await exchange.finished()
        assert one.results()[0] == ("up#0", "ok")


async def test_where_both_fail_the_next_is_asked_and_none_twice() -> None:
    go_on = asyncio.Event()
    slow = Answer.raw([Wait(go_on), *chat_error(409).steps])
    async with house(slow, chat_stream(), chat_error(409)) as one:
        exchange = await one.ask()
        await one.upstreams[2].wait_request()  # whose turn it is among the two that are left
        go_on.set()
        assert (await exchange.start()).status == 200
        await exchange.finished()
        assert one.results() == [("up#0", "status"), ("up#1", "ok"), ("up#2", "status")]


async def test_a_caller_that_leaves_ends_both() -> None:
    async with house(Answer.silence(), Answer.silence()) as one:
        exchange = await one.ask()
        await one.upstreams[1].wait_request()
        exchange.disconnect()
        await exchange.finished()
        assert one.settled[-1].outcome == "disconnected"
        async with asyncio.timeout(60):
            while any(upstream.connections for upstream in one.upstreams):
                await asyncio.sleep(0.001)


async def test_it_counts_as_a_retry() -> None:
    go_on = asyncio.Event()
    retry = {"base": 0, "budget": 0}
    async with house(Answer.sse([Wait(go_on), *chat_events()]), chat_stream(), retry=retry) as one:
        exchange = await one.ask()
        await one.upstreams[0].wait_request()
        await asyncio.sleep(0.05)  # more than it takes until a second attempt would be made
        go_on.set()
        await exchange.finished()
        assert len(one.upstreams[1].requests) == 0


async def test_an_answer_that_comes_whole_is_waited_for() -> None:
    """All of the work lies before its first byte; a second attempt would do it twice."""
    go_on = asyncio.Event()
    slow = Answer.raw([Wait(go_on), *chat_error(400).steps])
    async with house(slow, chat_stream()) as one:
        exchange = await one.ask(stream=False)
        await one.upstreams[0].wait_request()
        await asyncio.sleep(0.05)
        go_on.set()
        await exchange.finished()
        assert len(one.upstreams[1].requests) == 0


async def test_a_policy_that_keeps_account_is_told_of_both() -> None:
    async with house(Answer.silence(), chat_stream(), balance="least_load") as one:
        exchange = await one.ask()
        assert (await exchange.start()).status == 200
        await exchange.finished()


async def test_a_percentile_waits_until_it_knows_enough() -> None:
    async with house(chat_stream(), chat_stream(), hedge={"percentile": 95}) as one:
        for _ in range(25):
            await (await one.ask()).finished()
        pace = one.gateway.runtime().fleet.crews["up"].restraint.pace
        assert pace is not None
        assert pace.patience() is not None
