"""Probes: what they make of a worker, and that it is passed over while it is not well."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.errors import ConfigError
from asgi_llm.fleet.health import Health
from asgi_llm.fleet.probes import probe
from asgi_llm.settings import HealthSettings, LimitSettings, Settings
from asgi_llm.testing import Answer, no_leaks

RULES = HealthSettings(failures=3, successes=2)


def tell(health: Health, results: str) -> str:
    for result in results:
        health.tell(health.begin(), well=result == "+")
    return health.state


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ("", "ready"),
        ("--", "ready"),
        ("---", "unhealthy"),
        ("--+--", "ready"),
        ("---+", "unhealthy"),
        ("---++", "ready"),
        ("---+-+", "unhealthy"),
        ("---++--", "ready"),
    ],
)
def test_results_in_a_row_count(results: str, state: str) -> None:
    assert tell(Health(RULES), results) == state


def test_a_new_worker_is_taken_in_when_it_first_says_that_it_is_well() -> None:
    assert tell(Health(RULES, known=False), "") == "starting"
    assert tell(Health(RULES, known=False), "--") == "starting"
    assert tell(Health(RULES, known=False), "+") == "ready"
    assert tell(Health(RULES, known=False), "---") == "unhealthy"


def test_a_late_result_never_overrides_a_later_probes() -> None:
    health = Health(HealthSettings(failures=1, successes=1))
    slow, quick = health.begin(), health.begin()
    assert health.tell(quick, well=False)
    assert not health.tell(slow, well=True)
    assert health.state == "unhealthy"


@given(st.permutations(range(6)), st.lists(st.booleans(), min_size=6, max_size=6))
def test_whatever_the_order_the_newest_probe_decides(order: list[int], results: list[bool]) -> None:
    health = Health(HealthSettings(failures=1, successes=1))
    numbers = [health.begin() for _ in results]
    for place in order:
        health.tell(numbers[place], well=results[place])
    assert health.state == ("ready" if results[-1] else "unhealthy")


async def test_an_unhealthy_worker_is_passed_over_until_it_is_well_again(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one, two], health={"interval": 3600, "slow_start": 0}).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        first, second = crew.stations.values()
        one.well = False
        for _ in range(3):
            await probe(crew, first, crew.health)
            await probe(crew, second, crew.health)
        assert (first.state, second.state) == ("unhealthy", "ready")
        assert one.asked == two.asked == ["/health"] * 3
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
        assert (len(one.chats), len(two.chats)) == (0, 4)
        one.well = True
        await probe(crew, first, crew.health)
        assert first.state == "unhealthy"
        await probe(crew, first, crew.health)
        assert first.state == "ready"
        for _ in range(4):
            await chat(gateway)
        assert len(one.chats) == 2


async def test_probes_run_by_themselves_and_end_with_the_gateway(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one, two], health={"interval": 0.01}).running():
        await one.wait_request(3)
        await two.wait_request(3)
    assert {*one.asked, *two.asked} == {"/health"}


async def test_when_all_are_down_the_caller_is_told_so_in_its_dialect(engines, gateway_of, request_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with gateway_of([one, two], health={"interval": 3600, "failures": 1}).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        one.well = two.well = False
        for station in crew.stations.values():
            await probe(crew, station, crew.health)
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        status, value, headers = await request_of(gateway, "POST", "/v1/chat/completions", body)
        assert (status, value["error"]["code"]) == (503, "no_available_workers")
        assert int(headers["retry-after"]) > 0
        status, value, headers = await request_of(gateway, "POST", "/v1/messages", body | {"max_tokens": 5})
        assert (status, value["type"]) == (529, "error")
        assert headers["x-llm-error-code"] == "no_available_workers"
        assert int(headers["retry-after"]) > 0
        assert not one.chats
        assert not two.chats


async def test_a_probe_that_is_refused_or_never_answered_counts_as_bad(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    rules = {"interval": 3600, "failures": 1, "timeout": 0.05}
    async with no_leaks(), gateway_of([one, two], health=rules).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        first, second = crew.stations.values()
        await one.aclose()
        two._handler = lambda _request: Answer.silence()
        await probe(crew, first, crew.health)
        await probe(crew, second, crew.health)
        assert (first.state, second.state) == ("unhealthy", "unhealthy")


async def test_a_worker_that_is_back_gets_its_share_little_by_little(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with gateway_of([one, two], health={"interval": 3600, "slow_start": 10}).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        first = next(iter(crew.stations.values()))
        now = 1000.0
        crew._clock = lambda: now
        crew.warmth._random = random.Random(7).random
        tell(first.health, "---")
        first.refit()
        crew.heard(first, first.health.begin(), well=True)
        assert crew.heard(first, first.health.begin(), well=True)
        shares = []
        for since in (0.0, 2.0, 5.0, 8.0, 10.0, 20.0):
            picks = [crew.pick((), now + since) for _ in range(400)]
            shares.append(sum(worker is first.workers[0] for worker in picks) / 400)
        assert shares == sorted(shares)
        assert 0 < shares[0] <= 0.1
        assert 0.2 <= shares[2] <= 0.3
        assert shares[-1] == 0.5
        # Nothing of it is left once it is warm.
        assert not crew.warmth


async def test_warming_up_is_no_reason_to_have_no_worker(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with gateway_of([one, two], health={"interval": 3600, "slow_start": 10}).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        first, second = crew.stations.values()
        crew.drain(second.key, draining=True)
        crew._welcome(first)
        crew.changed()
        assert all(crew.pick((), crew._clock()) is first.workers[0] for _ in range(20))


PROBED: list[tuple[dict[str, Any], bool]] = [
    ({"provider": "openai", "api_key": "k"}, False),
    ({"provider": "openai", "api_key": "k", "workers": [{"url": "http://a"}, {"url": "http://b"}]}, False),
    ({"provider": "vllm", "base_url": "http://a"}, False),
    ({"provider": "vllm", "workers": [{"url": "http://a"}, {"url": "http://b"}]}, True),
    ({"provider": "sglang", "workers": [{"url": "http://a"}, {"url": "http://b"}]}, True),
    ({"provider": "vllm", "base_url": "http://a", "health": {}}, True),
    ({"provider": "openai_compatible", "base_url": "http://a", "health": {}}, False),
    ({"provider": "openai_compatible", "base_url": "http://a", "health": {"path": "/up"}}, True),
    ({"provider": "vllm", "base_url": "http://a", "health": {"interval": 0}}, False),
    ({"provider": "echo", "health": {"path": "/up"}}, False),
]


@pytest.mark.parametrize(("target", "probed"), PROBED)
def test_who_is_probed(target: dict[str, Any], probed: bool) -> None:
    from asgi_llm.fleet.crew import Crew
    from asgi_llm.fleet.target import compile_targets

    compiled = compile_targets(Settings.load({"targets": {"t": target}}), {})["t"]
    crew = Crew(compiled, itertools.count().__next__, LimitSettings())
    assert (crew.health is not None) is probed


@pytest.mark.parametrize("wrong", [{"path": "health"}, {"path": "/a b"}, {"failures": 0}, {"timeout": 0}, {"every": 3}])
def test_wrong_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load({"targets": {"t": {"provider": "vllm", "base_url": "http://a", "health": wrong}}})
    assert caught.value.problems[0].path == f"targets.t.health.{next(iter(wrong))}"


@pytest.mark.parametrize(
    ("path", "status", "state"), [(None, 404, "ready"), ("/up", 404, "unhealthy"), (None, 500, "unhealthy")]
)
async def test_a_proxy_that_hides_the_default_path_takes_nobody_out(engines, gateway_of, path, status, state) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    one._handler = lambda _request: Answer.json({}, status)
    rules = {"interval": 3600, "failures": 1} | ({"path": path} if path else {})
    async with gateway_of([one, two], health=rules).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        first = next(iter(crew.stations.values()))
        await probe(crew, first, crew.health)
        assert first.state == state
