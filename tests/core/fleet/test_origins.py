"""A request goes back to the worker that made what it brings with it."""

from typing import Any

import pytest

from asgi_llm.testing import responses_stream, responses_text


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_stored_response_is_continued_where_it_is(engines, gateway_of, request_of, streamed) -> None:  # type: ignore[no-untyped-def]  # fixtures
    fleet = await engines("one", "two", "three")
    for engine in fleet:
        engine.says = lambda request, engine=engine: (responses_stream if streamed else responses_text)(
            "Hello", id=f"resp_{engine.name}_{len(engine.chats)}"
        )
    gateway = gateway_of(fleet, balance="sticky", balance_options={"otherwise": "round_robin"}, dialects=["responses"])
    async with gateway.running():
        crew = gateway.runtime().fleet.crews["fleet"]
        for _ in range(3):
            body: dict[str, Any] = {"model": "m", "input": "hi", "stream": streamed}
            exchange_status = await _post(gateway, body)
            assert exchange_status == 200
        assert [len(engine.chats) for engine in fleet] == [1, 1, 1]
        assert len(crew.policy) == 3
        for _ in range(3):
            last = fleet[1].chats[-1]
            assert last is not None
            body = {"model": "m", "input": "more", "previous_response_id": f"resp_two_{len(fleet[1].chats)}"}
            assert await _post(gateway, body | {"stream": streamed}) == 200
        assert [len(engine.chats) for engine in fleet] == [1, 4, 1]


async def _post(gateway: Any, body: dict[str, Any]) -> int:
    from asgi_llm.testing import ASGIDriver

    exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/responses", json=body)
    status = (await exchange.start()).status
    await exchange.body()
    await exchange.finished()
    return status
