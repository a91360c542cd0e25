"""What engines say of their own load."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.fleet.reports import read_sglang, read_vllm, take_report
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.routing.balance.least_load import Report
from asgi_llm.testing import Answer, no_leaks

METRICS = b"""# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_running{engine="0",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5
vllm:kv_cache_usage_perc{engine="1",model_name="m"} NaN
vllm:num_requests_waiting_other{engine="1"} 7
"""


def test_vllm_tells_by_engine() -> None:
    assert read_vllm(METRICS) == {0: Report(queued=2048, used=0.5), 1: Report(queued=0, used=0.0)}
    older = b"vllm:num_requests_waiting 3\nvllm:gpu_cache_usage_perc 0.25\n"
    assert read_vllm(older) == {0: Report(queued=3072, used=0.25)}


def test_sglang_tells_by_rank() -> None:
    newer = (
        b'{"loads": [{"dp_rank": 0, "num_waiting_uncached_tokens": 77, "token_usage": 0.5, "x": []}, {"dp_rank": 1}]}'
    )
    assert read_sglang(newer) == {0: Report(queued=77, used=0.5), 1: Report(queued=0, used=0.0)}
    older = b'[{"dp_rank": 0, "num_reqs": 5, "num_waiting_reqs": 2, "num_tokens": 900}]'
    assert read_sglang(older) == {0: Report(queued=2048, used=0.0)}


@given(st.binary() | st.text().map(str.encode))
def test_whatever_comes_is_read_or_is_no_report(body: bytes) -> None:
    for read in (read_vllm, read_sglang):
        assert all(report.queued >= 0 and 0 <= report.used <= 1 for report in read(body).values())


@pytest.mark.parametrize("provider", ["vllm", "sglang"])
async def test_a_worker_that_says_it_is_busy_is_passed_over(engines, gateway_of, chat, provider) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    waiting = {"one": 9, "two": 0}

    def tell(engine: Any) -> Any:
        def handler(request: Any) -> Answer:
            if request.method == "POST":
                engine.chats.append(request)
                return engine.says(request)
            if request.path == "/metrics":
                return Answer.http([b"vllm:num_requests_waiting %d\n" % waiting[engine.name]])
            if request.path == "/get_load":
                return Answer.json([{"dp_rank": 0, "num_waiting_reqs": waiting[engine.name]}])
            return Answer.json({}, 404)

        return handler

    for engine in (one, two):
        engine._handler = tell(engine)
    gateway = gateway_of([one, two], provider=provider, balance="least_load", report_interval=3600)
    async with no_leaks(), gateway.running():
        crew = gateway.runtime().fleet.crews["fleet"]
        for station in crew.stations.values():
            await take_report(crew.policy, station)
        for _ in range(4):
            assert (await chat(gateway))[0] == 200
        assert (len(one.chats), len(two.chats)) == (0, 4)
        waiting.update(one=0, two=9)
        for station in crew.stations.values():
            await take_report(crew.policy, station)
        assert crew.pick((), 0.0, Facts()).name == "fleet#0"
        # One that does not answer any more is judged by what it works on.
        await two.aclose()
        await take_report(crew.policy, list(crew.stations.values())[1])
        assert crew.policy._states[crew.workers[1].key].report is None


async def test_workers_are_asked_by_themselves(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    async with no_leaks(), gateway_of([one, two], balance="least_load", report_interval=0.01).running():
        await one.wait_request(2)
        await two.wait_request(2)
    assert set(one.asked) == {"/metrics"}
