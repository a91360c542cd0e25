"""The guides' examples run as they stand there."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver, Exchange

DOCS = Path(__file__).parents[3] / "docs"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


async def test_the_key_the_user_and_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "secret")
    names: dict[str, Any] = {}
    first, second, _starlette = blocks("asgi.md")
    exec(first, names)
    assert await asked(names["app"], "secret") == 200
    assert await asked(names["app"], "ann's token") == 401
    exec(second, names)
    assert await asked(names["app"], "secret") == 200
    assert await asked(names["app"], "ann's token") == 200
    assert await asked(names["app"], "wrong") == 401
    page = await ASGIDriver(names["app"]).request("GET", "/about")
    assert await page.body() == b"a page of your own"


async def test_an_adapter_for_quart() -> None:
    """Streams, refusals in the caller's dialect, probes without a user, and what is not the gateway's."""
    if find_spec("quart") is None and "CI" not in os.environ:
        pytest.skip("quart is not installed")
    names: dict[str, Any] = {}
    adapter, use, _bridge = blocks("adapters.md")
    exec(adapter, names)
    exec(use, names)
    driver = ASGIDriver(names["app"])
    async with driver.lifespan():
        assert await asked(names["app"], "ann's token") == 200
        refused = await driver.request("POST", "/llm/v1/messages", {"x-api-key": "wrong"}, json=CHAT)
        assert (await refused.start()).status == 401
        assert (await refused.json())["error"]["message"] == "log in first"
        assert (await (await driver.request("GET", "/llm/health")).start()).status == 200
        assert (await (await driver.request("GET", "/llmfoo")).start()).status == 404


async def test_an_adapter_for_hosts_that_iterate_over_answers() -> None:
    names: dict[str, Any] = {}
    exec(blocks("adapters.md")[2], names)
    settled: list[Any] = []
    gateway = Gateway(
        {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}, on_settled=settled.append
    )
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": []}

    async def read() -> tuple[bytes, bool]:
        text = "/repeat 50\\n/delay 0.01\\nword"
        return (
            b'{"model": "echo", "stream": true, "messages": [{"role": "user", "content": "%b"}]}' % text.encode(),
            False,
        )

    async with gateway.running():
        status, headers, pieces = await names["answer"](gateway, scope, read)
        assert status == 200
        assert dict(headers)[b"content-type"].startswith(b"text/event-stream")
        assert b"data: " in await anext(pieces)
        await pieces.aclose()
    assert [item.outcome for item in settled] == ["disconnected"]


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


async def asked(app: Any, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    exchange: Exchange = await ASGIDriver(app).request("POST", "/llm/v1/chat/completions", headers, json=CHAT)
    return (await exchange.start()).status
