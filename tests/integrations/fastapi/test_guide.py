"""The guide's examples run as they stand there."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from asgi_llm.testing import ASGIDriver

GUIDE = Path(__file__).parents[3] / "docs" / "fastapi.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_its_application_and_its_test_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    names: dict[str, Any] = {}
    app, team, within, _settings, test = blocks()
    for block in (app, team, within, test):
        exec(compile(block, str(GUIDE), "exec"), names)
    names["test_chat"]()
    paths = names["app"].openapi()["paths"]
    assert {"/llm/v1/messages", "/team/v1/messages"} <= paths.keys()
    with TestClient(names["app"]) as client:
        assert client.get("/summary?text=Hello+there").json() == "Hello there"  # as the test's user


def test_its_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("pydantic_settings") is None and "CI" not in os.environ:
        pytest.skip("pydantic-settings is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    for name, value in re.findall(r"^    (SHOP_\w+)=(\S+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE):
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    exec(compile(f"from asgi_llm import Gateway\n{blocks()[3]}", str(GUIDE), "exec"), names)
    assert names["make_gateway"]().explain("any").legs[0].target == "gpt"


async def test_starlette_as_the_page_of_plain_asgi_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "secret")
    page = (GUIDE.parent / "asgi.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "asgi.md", "exec"), names)
    driver = ASGIDriver(names["app"])
    async with driver.lifespan():
        for key, status in (("secret", 200), ("ann's token", 200), ("wrong", 401)):
            asked = await driver.request("GET", "/llm/v1/models", {"authorization": f"Bearer {key}"})
            assert (await asked.start()).status == status
