"""A line for each exchange, in a log that people and programs read."""

import json
import logging
from typing import Any

import pytest

from asgi_llm import Gateway, Identity
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_events

SECRET = "sk-very-secret"
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "what only we know"}]}


async def lines(caplog: pytest.LogCaptureFixture, model: str = "m", **telemetry: Any) -> list[str]:
    """Of a stream, and of a request that fails in admission."""
    async with ScriptedUpstream([Answer.sse(chat_events(["a", "b"]))]) as upstream:
        target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1", "api_key": SECRET}
        gateway = Gateway({"targets": {"up": target}, "telemetry": telemetry})
        scope = {IDENTITY_KEY: Identity(subject="ann", tenant="acme", key_id="key_1")}
        headers = {"authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
        with caplog.at_level(logging.INFO, "asgi_llm.access"):
            async with gateway.running():
                for body in ({**CHAT, "model": model}, {**CHAT, "model": 7}):
                    driver = ASGIDriver(gateway.asgi, scope=scope)
                    exchange = await driver.request("POST", "/v1/chat/completions", headers, json=body)
                    await exchange.body()
                    await exchange.finished()
        found = [record.getMessage() for record in caplog.records if record.name == "asgi_llm.access"]
        assert not [line for line in found if SECRET in line or "only we know" in line or str(upstream.port) in line]
    return found


async def test_as_json(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = map(json.loads, await lines(caplog, log="json"))
    assert good | {
        "tenant": "acme", "subject": "ann", "key_id": "key_1", "endpoint": "chat_completions", "dialect": "chat",
        "model": "m", "served": "m", "target": "up", "worker": "up#0", "rung": "single", "why": "first",
        "stream": True, "status": 200, "outcome": "ok", "attempts": 1,
    } == good  # fmt: skip
    assert {"time", "id", "mode", "input", "output", "ms"} <= good.keys()
    assert (bad["status"], bad["outcome"], bad["error"]) == (400, "client_error", "model_required")
    assert "target" not in bad
    # Formatters that make objects of their own find the fields.
    record = next(record for record in caplog.records if record.name == "asgi_llm.access")
    assert record.__dict__["exchange"] == good


async def test_as_text_that_nobody_can_forge(caplog: pytest.LogCaptureFixture) -> None:
    good, _ = await lines(caplog, model="a b\nid=req_forged \u2028x")
    assert "\n" not in good
    assert "\u2028" not in good
    assert " model='a b\\nid=req_forged \\u2028x' " in good
    assert " status=200 outcome=ok " in good


async def test_it_carries_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("opentelemetry.sdk")
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True},
                       "telemetry": {"traces": True}})  # fmt: skip
    with caplog.at_level(logging.INFO, "asgi_llm.access"):
        async with gateway.running():
            driver = ASGIDriver(gateway.asgi)
            exchange = await driver.request("POST", "/v1/chat/completions", {"traceparent": caller}, json=CHAT)
            await exchange.body()
            await exchange.finished()
    assert "trace_id=0af7651916cd43dd8448eb211c80319c" in caplog.text
