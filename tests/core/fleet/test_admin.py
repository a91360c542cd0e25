"""Workers that come and go at run time, by Python."""

import asyncio
import threading

import pytest

from asgi_llm import ClientError, ConfigError, Gateway
from asgi_llm.fleet.probes import probe
from asgi_llm.testing import Answer, ASGIDriver, Wait, chat_events, no_leaks


def ids(gateway: Gateway) -> dict[str, str]:
    return {view.url: view.id for view in gateway.fleet.workers()}


async def test_a_worker_is_added_and_gets_its_share(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one], api_key="sk-all").running() as gateway:
        view = await gateway.fleet.add("fleet", {"url": two.url, "weight": 3, "api_key": "sk-two"})
        assert (view.target, view.url, view.state, view.added, view.load) == (
            "fleet",
            f"{two.url}/v1",
            "ready",
            True,
            0,
        )
        assert view.settings["api_key"] == "**********"
        assert "sk-two" not in repr(gateway.fleet.workers())
        assert [(rank.name, rank.breaker, rank.load) for rank in view.ranks] == [("fleet#1", "closed", 0)]
        assert [(target.target, len(target.workers)) for target in gateway.fleet.targets()] == [("fleet", 2)]
        crew = gateway.runtime().fleet.crews["fleet"]
        for worker in crew.workers:
            crew.warmth.forget(worker)
        crew.changed()
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
        assert (len(one.chats), len(two.chats)) == (2, 2)
        assert (b"authorization", b"Bearer sk-two") in two.chats[0].headers


async def test_a_new_worker_waits_for_its_first_probe(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    two.well = False
    async with gateway_of([one], health={"interval": 3600, "slow_start": 0}).running() as gateway:
        assert (await gateway.fleet.add("fleet", {"url": two.url})).state == "starting"
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
        assert not two.chats
        two.well = True
        crew = gateway.runtime().fleet.crews["fleet"]
        await probe(crew, list(crew.stations.values())[1], crew.health)
        for _ in range(4):
            await chat(gateway)
        assert len(two.chats) == 2


async def test_what_is_wrong_with_a_new_worker_is_told(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    async with gateway_of([one]).running() as gateway:
        with pytest.raises(ConfigError) as wrong:
            await gateway.fleet.add("fleet", {"url": "ftp://x", "weight": 0, "colour": 1})
        assert {problem.path for problem in wrong.value.problems} == {"url", "weight", "colour"}
        with pytest.raises(ConfigError) as wrong:
            await gateway.fleet.add("fleet", {"url": "http://x", "tls": {"ca": "/nowhere"}})
        assert [problem.path for problem in wrong.value.problems] == ["tls"]
        with pytest.raises(ConfigError) as wrong:
            await gateway.fleet.add("fleet", {"url": "http://x", "role": "prefill"})
        assert [problem.path for problem in wrong.value.problems] == ["role"]
        for name, said in (("nobody", "target_not_found"), ("fleet", "worker_exists")):
            with pytest.raises(ClientError) as refused:
                await gateway.fleet.add(name, {"url": one.url})
            assert refused.value.code == said
        for change in (gateway.fleet.drain, gateway.fleet.resume, gateway.fleet.remove):
            with pytest.raises(ClientError) as refused:
                await change("w_0")
            assert refused.value.code == "worker_not_found"
        assert len(gateway.fleet.workers()) == 1


async def test_a_drained_worker_gets_nothing_new(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with gateway_of([one, two]).running() as gateway:
        name = ids(gateway)[f"{one.url}/v1"]
        assert (await gateway.fleet.drain(name)).state == "draining"
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
        assert (len(one.chats), len(two.chats)) == (0, 4)
        assert (await gateway.fleet.resume(name)).state == "ready"
        assert gateway.runtime().fleet.roster.changes == {}


async def test_removal_lets_a_stream_end_and_then_closes_the_connections(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    go = asyncio.Event()
    first, *rest = chat_events("Hello there")
    one.says = lambda _request: Answer.sse([first, Wait(go), *rest, "[DONE]"])
    async with no_leaks(), gateway_of([one, two]).running() as gateway:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
        await exchange.start()
        await one.wait_request(1)
        await gateway.fleet.remove(ids(gateway)[f"{one.url}/v1"])
        assert list(ids(gateway)) == [f"{two.url}/v1"]
        for _ in range(3):
            assert (await chat(gateway))[0] == 200
        assert (len(one.chats), len(two.chats)) == (1, 3)
        assert len(one.connections) == 1
        go.set()
        said = await exchange.body()
        await exchange.finished()
        assert said.endswith(b"data: [DONE]\n\n")
        for _ in range(200):
            if not one.connections:
                break
            await asyncio.sleep(0.01)
        assert not one.connections
        # One of the settings that was removed can be added again.
        await gateway.fleet.add("fleet", {"url": one.url})
        assert len(gateway.fleet.workers()) == 2


async def test_a_stream_that_does_not_end_is_cut_when_the_grace_is_over(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    first, *_ = chat_events("Hello there")
    one.says = lambda _request: Answer.sse([first, Wait(asyncio.Event())])
    gateway = gateway_of([one, two], admin={"drain_timeout": 0.05})
    async with no_leaks(), gateway.running():
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
        await exchange.start()
        await gateway.fleet.remove(ids(gateway)[f"{one.url}/v1"])
        said = await exchange.body()
        await exchange.finished()
        assert b"upstream" in said
        assert b"[DONE]" not in said


async def test_changes_outlive_a_reload_of_the_settings(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one]).running() as gateway:
        await gateway.fleet.add("fleet", {"url": two.url})
        gateway.reload()
        assert len(gateway.fleet.workers()) == 2


async def test_every_event_loop_of_the_process_applies_a_change(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    gateway = gateway_of([one])
    seen: list[int] = []
    ready, changed = threading.Event(), threading.Event()

    async def other() -> None:
        async with gateway.running():
            seen.append(len(gateway.fleet.workers()))
            ready.set()
            await asyncio.to_thread(changed.wait, 10)
            for _ in range(100):
                if len(gateway.fleet.workers()) == 2:
                    break
                await asyncio.sleep(0.01)
            seen.append(len(gateway.fleet.workers()))

    async with gateway.running():
        thread = threading.Thread(target=asyncio.run, args=(other(),))
        thread.start()
        await asyncio.to_thread(ready.wait, 10)
        await gateway.fleet.add("fleet", {"url": two.url})
        changed.set()
        await asyncio.to_thread(thread.join, 20)
    assert seen == [1, 2]
    # And one that begins later.
    late: list[int] = []

    async def later() -> None:
        async with gateway.running():
            late.append(len(gateway.fleet.workers()))

    await asyncio.to_thread(asyncio.run, later())
    assert late == [2]


async def test_requests_go_on_while_workers_come_and_go(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two, three = await engines("one", "two", "three")
    async with no_leaks(), gateway_of([one, two]).running() as gateway:

        async def churn() -> None:
            for _ in range(10):
                view = await gateway.fleet.add("fleet", {"url": three.url})
                await asyncio.sleep(0)
                await gateway.fleet.remove(view.id)

        async def load() -> list[int]:
            return [(await chat(gateway))[0] for _ in range(20)]

        _, *statuses = await asyncio.gather(churn(), *(load() for _ in range(5)))
        assert {status for several in statuses for status in several} == {200}
        assert len(gateway.fleet.workers()) == 2
        assert all(worker.load == 0 for worker in gateway.runtime().fleet.crews["fleet"].workers)
