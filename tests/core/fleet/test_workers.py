"""Workers with settings of their own: key, headers, time-outs, TLS, proxy, ranks."""

import json
import time
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.fleet.control import ask
from asgi_llm.fleet.probes import probe
from asgi_llm.testing import Answer

A, B = {"url": "http://10.0.0.1:8000"}, {"url": "http://10.0.0.2:8000"}


def problems(**target: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Gateway({"targets": {"t": {"provider": "vllm", **target}}})
    return [str(problem) for problem in caught.value.problems]


def named(request: Any, name: str) -> list[str]:
    return [value.decode() for key, value in request.headers if key == name.encode()]


async def test_each_worker_gets_its_own_key_and_headers(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    own: list[dict[str, Any]] = [{"api_key": "sk-one", "headers": {"X-Team": "a", "x-more": "1"}}, {}]
    gateway = gateway_of([one, two], workers=own, api_key="sk-all", headers={"x-team": "all"})
    async with gateway.running():
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
    assert (len(one.chats), len(two.chats)) == (2, 2)
    for request in one.chats:
        assert named(request, "authorization") == ["Bearer sk-one"]
        assert (named(request, "x-team"), named(request, "x-more")) == (["a"], ["1"])
        assert named(request, "content-type") == ["application/json"]
    for request in two.chats:
        assert named(request, "authorization") == ["Bearer sk-all"]
        assert (named(request, "x-team"), named(request, "x-more")) == (["all"], [])


async def test_probes_and_questions_use_the_workers_own_client_and_key(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    own = [{"api_key": "sk-one", "dp_size": 2}, {}]
    async with gateway_of([one, two], workers=own, api_key="sk-all", health={"interval": 3600}).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        for station in crew.stations.values():
            await probe(crew, station, crew.health)
            assert (await ask(station, b"/models", 1.0))[0] == 200
    assert [named(request, "authorization") for request in one.requests] == [["Bearer sk-one"]] * 2
    assert [named(request, "authorization") for request in two.requests] == [["Bearer sk-all"]] * 2
    assert [request.path for request in one.requests] == ["/health", "/v1/models"]
    assert one.accepted == 1


async def test_a_worker_has_time_outs_of_its_own(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    one.says = lambda _request: Answer.silence()
    gateway = gateway_of([one], workers=[{"timeouts": {"answer": 0.05}}], retry={"attempts": 1})
    begun = time.monotonic()
    async with gateway.running():
        status, _ = await chat(gateway)
    assert status == 504
    assert time.monotonic() - begun < 60  # the target's own would be 600


async def test_ranks_share_a_client_and_are_told_apart(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    async with gateway_of([one], workers=[{"dp_size": 3}]).running() as gateway:
        crew = gateway.runtime().fleet.crews["fleet"]
        assert [worker.name for worker in crew.workers] == ["fleet#0@0", "fleet#0@1", "fleet#0@2"]
        assert len({worker.key for worker in crew.workers}) == 3
        assert len({id(worker.client) for worker in crew.workers}) == 1
        for _ in range(6):
            assert (await chat(gateway))[0] == 200
        assert [worker.load for worker in crew.workers] == [0, 0, 0]
    assert sorted(named(request, "x-data-parallel-rank")[0] for request in one.chats) == ["0", "0", "1", "1", "2", "2"]
    assert {request.path for request in one.chats} == {"/v1/chat/completions"}


async def test_sglang_is_told_the_rank_in_the_body(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    gateway = gateway_of([one], provider="sglang", workers=[{"dp_size": 2}])
    async with gateway.running():
        for text in ("hi", "é"):
            await chat(gateway, text=text, seed=5)
        # The caller does not choose.
        await chat(gateway, data_parallel_rank=7)
    bodies = [json.loads(request.body) for request in one.chats]
    assert [body["data_parallel_rank"] for body in bodies] == [0, 1, 0]
    assert all(request.body.count(b"data_parallel_rank") == 1 for request in one.chats)
    assert bodies[1]["messages"] == [{"role": "user", "content": "é"}]
    assert bodies[0]["seed"] == 5


async def test_load_is_counted_by_rank(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    gateway = gateway_of([one], workers=[{"dp_size": 2}], balance="least_load")
    async with gateway.running():
        crew = gateway.runtime().fleet.crews["fleet"]
        first = crew.pick((), 0.0)
        first.enter(None)
        second = crew.pick((), 0.0)
        assert second is not first
        first.abandoned(None, False)
        assert next(iter(crew.stations.values())).load == 0


def test_what_cannot_work_is_named_at_load() -> None:
    worker = "targets.t.workers[1]"
    assert problems(workers=[A, B | {"tls": {"ca": "/nowhere/ca.pem"}}]) == [
        f"{worker}.tls: tls.ca: the file cannot be read"
    ]
    assert problems(workers=[A, B | {"tls": {"ca": "file:///nowhere/ca.pem"}}]) == [
        f"{worker}.tls.ca: the file /nowhere/ca.pem cannot be read: No such file or directory"
    ]
    assert problems(workers=[A, B], tls={"ca": "/nowhere/ca.pem"}) == ["targets.t.tls: tls.ca: the file cannot be read"]
    schemes = "a proxy's URL must begin with http://, https://, socks5:// or socks5h://"
    assert problems(workers=[A, B | {"proxy": "ftp://p"}]) == [f"{worker}.proxy: {schemes}"]
    assert problems(workers=[A, B], proxy="ftp://p") == [f"targets.t.proxy: {schemes}"]
    assert problems(workers=[A, B | {"pool": {"max_connections": 0}}])[0].startswith(f"{worker}.pool.max_connections: ")
    assert problems(workers=[A, B | {"api_key": "two words"}])[0].startswith(f"{worker}.api_key: ")
    assert problems(workers=[A, B | {"speed": 3}]) == [f"{worker}.speed: is not a setting"]
    assert problems(workers=[A, A]) == ["targets.t: workers has the same url twice"]


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"provider": "openai", "workers": [A | {"dp_size": 2}]}, 'provider "openai" has no dp_size and no roles'),
    ({"provider": "openai", "workers": [A | {"role": "prefill"}]}, 'provider "openai" has no dp_size and no roles'),
    ({"workers": [A | {"role": "prefill"}]}, "workers with the roles prefill and decode go together"),
    (
        {"workers": [A | {"role": "prefill"}, B | {"role": "decode"}, {"url": "http://c"}]},
        "workers with the roles prefill and decode go together",
    ),
    (
        {"provider": "sglang", "workers": [A | {"role": "prefill"}, B | {"role": "decode"}]},
        "a prefill worker of sglang needs its bootstrap_port",
    ),
]


@pytest.mark.parametrize(("target", "said"), CONTRADICTIONS)
def test_contradictions_are_named_at_load(target: dict[str, Any], said: str) -> None:
    (problem,) = problems(**target)
    assert problem.startswith(f"targets.t: {said}")


def test_a_worker_has_its_own_pool_tls_and_proxy(tmp_path: Any) -> None:
    gateway = Gateway(
        {
            "targets": {
                "t": {
                    "provider": "vllm",
                    "pool": {"max_connections": 7, "keepalive": 3},
                    "timeouts": {"connect": 2},
                    "workers": [
                        A | {"pool": {"max_connections": 1}, "timeouts": {"idle": 9}},
                        B | {"tls": {"verify": False}, "proxy": "http://proxy:3128"},
                        {"url": "http://c"},
                    ],
                }
            }
        }
    )
    first, second, third = (member.options for member in gateway._blueprint.targets["t"].members)
    assert (first.max_connections, first.keepalive, first.timeouts.connect, first.timeouts.idle) == (1, 3, 2, 9)
    assert (second.max_connections, second.proxy) == (7, "http://proxy:3128")
    assert second.tls is not None
    assert (third.max_connections, third.proxy, third.tls, third.timeouts.idle) == (7, None, None, 120)
