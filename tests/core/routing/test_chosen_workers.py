"""The policies of the settings at work: which of several workers on sockets gets a request."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.testing import Answer, ASGIDriver, Reset, ScriptedUpstream, chat_text

SYSTEM = {"role": "system", "content": "You are a careful assistant. " * 200}


@pytest.fixture
async def workers() -> AsyncIterator[list[ScriptedUpstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedUpstream(chat_text("Hello!"))) for _ in range(3)]


def gateway(workers: list[ScriptedUpstream], balance: str, **more: Any) -> Gateway:
    urls = [{"url": f"{worker.url}/v1"} for worker in workers]
    target = {"provider": "openai_compatible", "workers": urls, "balance": balance, **more}
    return Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}})


async def ask(driver: ASGIDriver, *said: str, headers: dict[str, str] | None = None, **more: Any) -> None:
    turns = [{"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(said)]
    body = {"model": "m", "messages": [SYSTEM, *turns], **more}
    exchange = await driver.request("POST", "/v1/chat/completions", json=body, headers=headers or {})
    assert (await exchange.start()).status == 200
    await exchange.finished()


def served(workers: list[ScriptedUpstream]) -> list[int]:
    return [len(worker.requests) for worker in workers]


@pytest.mark.parametrize("balance", ["cache_aware", "prefix_hash", "consistent_hash"])
async def test_a_conversation_stays_where_its_beginning_was(workers: list[ScriptedUpstream], balance: str) -> None:
    async with gateway(workers, balance).running() as running:
        driver = ASGIDriver(running.asgi)
        said: list[str] = []
        for turn in range(6):
            said += [f"Question {turn} of this very conversation", f"Answer {turn}"]
            await ask(driver, *said[:-1])
    assert sorted(served(workers)) == [0, 0, 6]


@pytest.mark.parametrize("where", ["header", "body"])
async def test_a_session_stays_with_its_worker(workers: list[ScriptedUpstream], where: str) -> None:
    async with gateway(workers, "sticky").running() as running:
        driver = ASGIDriver(running.asgi)
        for turn in range(6):
            if where == "header":
                await ask(driver, f"Something new {turn}", headers={"x-claude-code-session-id": "s-1"})
            else:
                await ask(driver, f"Something new {turn}", prompt_cache_key="k-1")
    assert sorted(served(workers)) == [0, 0, 6]


@pytest.mark.parametrize(
    "balance", ["round_robin", "random", "weighted", "power_of_two", "least_load", "cache_aware", "bucket"]
)
async def test_every_policy_serves_and_lets_go(workers: list[ScriptedUpstream], balance: str) -> None:
    async with gateway(workers, balance).running() as running:
        driver = ASGIDriver(running.asgi)
        for turn in range(30):
            await ask(driver, f"{turn} is a question of its own: {turn * 7919}")
        crew = running.runtime().fleet.crews["fleet"]
        assert [worker.load for worker in crew.workers] == [0, 0, 0]
    assert sum(served(workers)) == 30


async def test_work_goes_by_weight(workers: list[ScriptedUpstream]) -> None:
    urls = [{"url": f"{worker.url}/v1", "weight": weight} for worker, weight in zip(workers, (3, 1, 2), strict=True)]
    target = {"provider": "openai_compatible", "workers": urls, "balance": "weighted"}
    async with Gateway({"targets": {"fleet": target}, "auth": {"anonymous": True}}).running() as running:
        driver = ASGIDriver(running.asgi)
        for _ in range(12):
            await ask(driver, "Hello")
    assert served(workers) == [6, 2, 4]


async def test_where_the_chosen_worker_fails_another_serves(workers: list[ScriptedUpstream]) -> None:
    async with ScriptedUpstream(Answer([Reset()])) as broken:
        async with gateway([broken, *workers], "consistent_hash").running() as running:
            driver = ASGIDriver(running.asgi)
            for turn in range(80):  # ports decide who gets what: fewer would now and then leave the broken one out
                await ask(driver, f"{turn} is a question of its own: {turn * 7919}")
            assert all(worker.load == 0 for worker in running.runtime().fleet.crews["fleet"].workers)
        assert len(broken.requests) >= 1
    assert sum(served(workers)) == 80


async def test_callers_do_not_meet_in_one_session(workers: list[ScriptedUpstream]) -> None:
    """The same name of a session from many callers does not send them all to one worker."""
    keys = [{"key": f"sk-{number}", "subject": f"user-{number}"} for number in range(24)]
    urls = [{"url": f"{worker.url}/v1"} for worker in workers]
    target = {"provider": "openai_compatible", "workers": urls, "balance": "consistent_hash"}
    async with Gateway({"targets": {"fleet": target}, "auth": {"keys": keys}}).running() as running:
        driver = ASGIDriver(running.asgi)
        for key in keys:
            await ask(driver, "Hi", headers={"authorization": f"Bearer {key['key']}", "x-llm-routing-key": "same"})
    assert max(served(workers)) < 24


@pytest.mark.parametrize(
    ("more", "path", "said"),
    [
        ({"balance_options": {"nope": 1}}, "targets.fleet.balance_options", 'cache_aware has no option "nope"'),
        ({"balance": "random", "balance_options": {"a": 1}}, "targets.fleet.balance_options", "it takes none"),
        ({"balance_options": {"max_prints": -1}}, "targets.fleet.balance_options", "max_prints"),
        ({"balance": "fastest"}, "targets.fleet.balance", "Input should be"),
    ],
)
def test_a_wrong_option_is_told_at_load(more: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gateway([], **{"balance": "cache_aware", "base_url": "http://127.0.0.1:1/v1"} | more)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert said in str(caught.value)
