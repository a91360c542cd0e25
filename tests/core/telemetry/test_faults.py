"""What telemetry may not do: stand in the way of a request, or forget one that was cut off."""

import asyncio
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait, chat_events, chat_text

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def settings(url: str, **more: Any) -> dict[str, Any]:
    return {
        "targets": {"up": {"provider": "openai_compatible", "base_url": f"{url}/v1"}},
        "auth": {"anonymous": True},
        "dashboard": {"enabled": True},
        **more,
    }


async def test_what_its_caller_left_is_counted_with_its_first_token() -> None:
    first, *rest = chat_events(["a", "b"])
    async with ScriptedUpstream([Answer.sse([first, rest[0], Wait(asyncio.Event())])]) as upstream:
        gateway = Gateway(settings(upstream.url, limits={"shutdown_grace": 0}))
        async with gateway.running():
            driver = ASGIDriver(gateway.asgi)
            exchange = await driver.request("POST", "/v1/chat/completions", json={**CHAT, "stream": True})
            await exchange.next_chunk()
            meters = gateway.runtime().telemetry.meters  # type: ignore[union-attr]  # the dashboard wants it
            exchange.disconnect()
            await exchange.finished()
    assert meters.totals[:2] == [1, 1]
    (family,) = [one for one in meters.families() if one.name == "gen_ai_server_time_to_first_token_seconds"]
    assert [sample.buckets[-1][1] for sample in family.samples] == [1]


async def test_its_own_failure_is_no_failure_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_record: Any) -> None:
        raise RuntimeError("the exporter is ill")

    async with ScriptedUpstream([chat_text("hi")]) as upstream:
        gateway = Gateway(settings(upstream.url))
        async with gateway.running():
            gateway.runtime().telemetry.meters.pass_on(broken)  # type: ignore[union-attr]  # the dashboard wants it
            exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=CHAT)
            assert (await exchange.start()).status == 200
            await exchange.body()
            await exchange.finished()
    assert "the exporter is ill" in caplog.text
