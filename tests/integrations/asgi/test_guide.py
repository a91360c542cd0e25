"""The guide's examples run as they stand there."""

import re
from pathlib import Path
from typing import Any

import pytest

from asgi_llm.testing import ASGIDriver

GUIDE = Path(__file__).parents[3] / "docs" / "asgi.md"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


async def test_the_key_the_user_and_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "secret")
    names: dict[str, Any] = {}
    first, second = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    exec(first, names)
    assert await asked(names["app"], "secret") == 200
    assert await asked(names["app"], "ann's token") == 401
    exec(second, names)
    assert await asked(names["app"], "secret") == 200
    assert await asked(names["app"], "ann's token") == 200
    assert await asked(names["app"], "wrong") == 401
    page = await ASGIDriver(names["app"]).request("GET", "/about")
    assert await page.body() == b"a page of your own"


async def asked(app: Any, key: str) -> int:
    headers = {"authorization": f"Bearer {key}"}
    exchange = await ASGIDriver(app).request("POST", "/llm/v1/chat/completions", headers, json=CHAT)
    return (await exchange.start()).status
