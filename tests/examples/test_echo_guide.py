"""What the guide to the echo lists is what the echo does."""

import re
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.providers.echo import script
from asgi_llm.testing import ASGIDriver

GUIDE = (Path(__file__).parents[2] / "docs" / "echo.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\| `(/[^`]+)` \|", GUIDE, re.MULTILINE)


def test_it_lists_every_direction() -> None:
    known = set(re.findall(r"^    (/\w+)", script.__doc__ or "", re.MULTILINE))
    assert {line.split()[0] for line in LINES} == known


@pytest.mark.parametrize("line", [line.replace("/wait 2", "/wait 0.01") for line in LINES])
async def test_a_line_is_done_and_not_repeated(line: str) -> None:
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    said = [{"role": "user", "content": f"{line}\nHello"}]
    driver = ASGIDriver(gateway.asgi)
    async with driver.lifespan():
        exchange = await driver.request(
            "POST", "/v1/chat/completions", json={"model": "echo", "stream": True, "messages": said}
        )
        head = await exchange.start()
        body = (await exchange.body()).decode()
    word, _, rest = line.partition(" ")
    assert line not in body
    expected: dict[str, Any] = {
        "/say": '"Good"',
        "/think": "reasoning_content",
        "/tool": '"name":"weather"',
        "/stop": '"finish_reason":"length"',
        "/error": "Slow down.",
        "/fail": "It broke.",
    }
    assert expected.get(word, "Hello") in body
    assert head.status == (429 if word == "/error" else 200)
    assert word != "/repeat" or body.count("Hello") == int(rest)
