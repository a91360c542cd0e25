"""Two gateways that share a Redis have the same workers."""

import asyncio
import uuid
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.errors import StoreError
from asgi_llm.fleet.step import sync
from asgi_llm.testing import no_leaks

pytest.importorskip("redis")


@pytest.fixture
def state(redis_url: str) -> dict[str, str]:
    return {"url": redis_url, "prefix": uuid.uuid4().hex}


async def look(gateway: Gateway) -> list[str]:
    """The addresses of the workers, after a look at the shared state."""
    fleet = gateway.runtime().fleet
    await sync(fleet.roster, fleet.boards)
    await asyncio.sleep(0)  # what the roster tells is told in the next turn
    return [view.url for view in gateway.fleet.workers()]


async def test_a_change_reaches_the_others_with_all_settings(engines, gateway_of, chat, state, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    monkeypatch.setenv("WORKER_KEY", "sk-two")
    here, there = gateway_of([one], state=state), gateway_of([one], state=state)
    worker: dict[str, Any] = {
        "url": two.url,
        "weight": 2,
        "api_key": "env://WORKER_KEY",
        "pool": {"max_connections": 3, "keepalive": 7},
        "timeouts": {"connect": 1.5, "answer": 9},
        "tls": {"verify": False},
    }
    async with no_leaks(), here.running(), there.running():
        view = await here.fleet.add("fleet", worker)
        assert await look(there) == [f"{one.url}/v1", f"{two.url}/v1"]
        other = there.fleet.worker(view.id)
        assert other == view
        assert other.client["max_connections"] == 3
        assert other.client["timeouts"]["connect"] == 1.5
        assert other.client["tls"] == "own"
        # It was resolved there, too, and is not what lies in the Redis.
        crew = there.runtime().fleet.crews["fleet"]
        assert list(crew.stations.values())[1].member.own_headers == [(b"authorization", b"Bearer sk-two")]
        board = await there.runtime().fleet.boards.read("fleet")
        assert b"sk-two" not in b"".join(board.entries.values())
        await there.fleet.drain(view.id)
        await look(here)
        assert here.fleet.worker(view.id).state == "draining"
        await here.fleet.remove(view.id)
        assert await look(there) == [f"{one.url}/v1"]
        (name,) = (item.id for item in here.fleet.workers())
        await here.fleet.remove(name)
        assert await look(there) == []
        assert (await chat(there))[0] == 503


async def test_the_others_see_it_by_themselves(engines, gateway_of, state) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    state = {**state, "interval": 0.01}
    here, there = gateway_of([one], state=state), gateway_of([one], state=state)
    async with no_leaks(), here.running(), there.running():
        there.runtime()
        await here.fleet.add("fleet", {"url": two.url})
        for _ in range(500):
            if len(there.fleet.workers()) == 2:
                break
            await asyncio.sleep(0.01)
        assert len(there.fleet.workers()) == 2
    # Who starts later has it, too.
    async with gateway_of([one], state=state).running() as late:
        assert len(await look(late)) == 2


async def test_secrets_themselves_are_not_put_into_the_shared_state(engines, gateway_of, state) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    pem = "-----BEGIN PRIVATE KEY-----"
    async with gateway_of([one], state=state).running() as gateway:
        for worker, path in (
            ({"api_key": "sk-literal"}, "api_key"),
            ({"headers": {"x-secret": "sk-literal"}}, "headers.x-secret"),
            ({"proxy": "http://user:sk-literal@proxy"}, "proxy"),
        ):
            with pytest.raises(ConfigError) as refused:
                await gateway.fleet.add("fleet", {"url": "http://10.0.0.9", **worker})
            assert [problem.path for problem in refused.value.problems] == [path]
            assert "sk-literal" not in str(refused.value)
        with pytest.raises(ConfigError) as refused:
            await gateway.fleet.add("fleet", {"url": "http://10.0.0.9", "tls": {"cert": pem, "key": pem}})
        assert pem not in str(refused.value)
        assert (await gateway.runtime().fleet.boards.read("fleet")).entries == {}


async def test_a_worker_that_cannot_be_used_here_is_left_out(engines, gateway_of, state, monkeypatch, caplog) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    here, there = gateway_of([one], state=state), gateway_of([one], state=state)
    async with here.running():
        monkeypatch.setenv("ONLY_HERE", "sk-two")
        await here.fleet.add("fleet", {"url": two.url, "api_key": "env://ONLY_HERE"})
    monkeypatch.delenv("ONLY_HERE")
    async with there.running():
        assert await look(there) == [f"{one.url}/v1"]
    assert "cannot be used here" in caplog.text


async def test_state_that_was_lost_is_given_back(engines, gateway_of, state) -> None:  # type: ignore[no-untyped-def]  # fixtures
    from redis.asyncio import Redis

    one, two = await engines("one", "two")
    here, there = gateway_of([one], state=state), gateway_of([one], state=state)
    async with here.running(), there.running():
        await here.fleet.add("fleet", {"url": two.url})
        await look(there)
        async with Redis.from_url(state["url"]) as redis:
            await redis.delete(*(await redis.keys(f"{state['prefix']}:*")))
        assert len(await look(here)) == 2
        assert len(await look(there)) == 2
        assert len((await here.runtime().fleet.boards.read("fleet")).entries) == 1


async def test_without_the_shared_state_requests_are_served_and_changes_refused(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    gateway = gateway_of([one], state={"url": "redis://127.0.0.1:1/0"})
    async with no_leaks(), gateway.running():
        assert (await chat(gateway))[0] == 200
        with pytest.raises(StoreError):
            await gateway.fleet.add("fleet", {"url": two.url})
        assert len(gateway.fleet.workers()) == 1
