"""Workers that have different models, and the list of all of them."""

import asyncio
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.fleet.discovery import look_again
from asgi_llm.fleet.probes import probe
from asgi_llm.testing import Answer, no_leaks


async def known(gateway: Gateway) -> Any:
    """The crew, once its workers have said what they have."""
    crew = gateway.runtime().fleet.crews["fleet"]
    for _ in range(500):
        if all(station.models is not None for station in crew.stations.values()):
            return crew
        await asyncio.sleep(0.01)
    raise AssertionError("the workers were not asked")


async def test_a_worker_without_the_model_is_no_candidate(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    one.models, two.models = ["a", "both"], ["b", "both"]
    async with no_leaks(), gateway_of([one, two], discover=True).running() as gateway:
        await known(gateway)
        for model, served in (("a", (4, 0)), ("b", (4, 4)), ("both", (6, 6))):
            for _ in range(4):
                assert (await chat(gateway, model))[0] == 200
            assert (len(one.chats), len(two.chats)) == served


async def test_a_model_that_nobody_has_is_asked_for_once_and_refused(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one, two], discover=True).running() as gateway:
        await known(gateway)
        answers = await asyncio.gather(*(chat(gateway, "new") for _ in range(20)))
        assert {status for status, _ in answers} == {404}
        assert {value["error"]["code"] for _, value in answers} == {"model_not_found"}
        # Twenty callers, one look; and no other one as long as it is fresh.
        assert one.asked == ["/v1/models"] * 2
        assert (await chat(gateway, "other"))[0] == 404
        assert one.asked == ["/v1/models"] * 2
        assert not one.chats


async def test_a_model_that_was_loaded_since_is_found(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one, two], discover=True).running() as gateway:
        crew = await known(gateway)
        two.models.append("new")
        assert (await chat(gateway, "new"))[0] == 200
        assert len(two.chats) == 1
        two.models.append("newer")
        now = gateway.runtime().loop.time()
        assert not await look_again(crew, "newer", now + 1)
        assert await look_again(crew, "newer", now + 11)


async def test_a_fallback_is_asked_where_no_worker_has_the_model(engines, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two, other = await engines("one", "two", "other")
    fleet = {"provider": "vllm", "workers": [{"url": one.url}, {"url": two.url}], "health": {"interval": 0}}
    gateway = Gateway(
        {
            "targets": {"fleet": fleet, "other": {"provider": "openai_compatible", "base_url": other.url}},
            "routes": [{"model": "*", "target": "fleet", "fallback": ["other"]}],
            "auth": {"anonymous": True},
        }
    )
    async with no_leaks(), gateway.running():
        await known(gateway)
        status, value = await chat(gateway, "elsewhere")
        assert (status, value["choices"][0]["message"]["content"]) == (200, "from other")


async def test_what_a_worker_did_not_tell_is_no_reason_to_pass_it_over(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    two._handler = lambda request: Answer.reset() if request.method == "GET" else one.says(request)
    async with no_leaks(), gateway_of([one, two], discover=True).running() as gateway:
        await two.wait_request(1)
        while not gateway.runtime().fleet.crews["fleet"].knows:
            await asyncio.sleep(0.01)
        for _ in range(4):
            assert (await chat(gateway, "new"))[0] == 200
        assert not one.chats


async def test_models_of_the_settings_need_no_question(engines, gateway_of, chat, request_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    gateway = gateway_of([one, two], workers=[{"models": ["a"]}, {"models": ["b"]}])
    async with no_leaks(), gateway.running():
        assert (await chat(gateway, "b"))[0] == 200
        assert (len(one.chats), len(two.chats)) == (0, 1)
        status, value = await chat(gateway, "c")
        assert (status, value["error"]["code"]) == (404, "model_not_found")
        assert one.asked == two.asked == []
        one.models = []
        _, value, _ = await request_of(gateway, "GET", "/v1/models")
        assert {"a", "b"} <= {item["id"] for item in value["data"]}


async def test_a_worker_that_is_back_is_asked_again(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    rules = {"interval": 3600, "failures": 1, "successes": 1}
    async with gateway_of([one, two], discover=True, health=rules).running() as gateway:
        crew = await known(gateway)
        first = next(iter(crew.stations.values()))
        one.well = False
        await probe(crew, first, crew.health)
        one.well, one.models = True, ["other"]
        await probe(crew, first, crew.health)
        assert first.models == {"other"}


async def test_the_list_is_that_of_all_workers_and_says_what_is_missing(engines, gateway_of, request_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    one.models, two.models = ["a", "both"], ["both", "b", "secret"]
    gateway = gateway_of([one, two], discover=True, deny=["secret"])
    async with no_leaks(), gateway.running():
        await known(gateway)
        _, value, headers = await request_of(gateway, "GET", "/v1/models")
        assert [item["id"] for item in value["data"]] == ["a", "both", "b"]
        assert "x-llm-partial" not in headers
        asked = len(one.asked)
        await request_of(gateway, "GET", "/v1/models")
        assert len(one.asked) == asked
        await two.aclose()
        listing = gateway.runtime().listing
        names = [model.id for model in await listing.models(gateway.runtime().loop.time() + 61)]
        assert names == ["a", "both"]
        assert listing.missing == ["fleet"]
        _, value, headers = await request_of(gateway, "GET", "/v1/models")
        assert headers["x-llm-partial"] == "fleet"


@pytest.mark.parametrize(
    ("provider", "workers", "asked"), [("vllm", 2, True), ("vllm", 1, False), ("sglang", 2, False)]
)
async def test_who_is_asked_by_default(engines, provider, workers, asked) -> None:  # type: ignore[no-untyped-def]  # fixtures
    fleet = await engines(*"ab"[:workers])
    target = {"provider": provider, "workers": [{"url": engine.url} for engine in fleet], "health": {"interval": 0}}
    async with Gateway({"targets": {"fleet": target}}).running() as gateway:
        assert gateway.runtime().fleet.crews["fleet"].discovers is asked
