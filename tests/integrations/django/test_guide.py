"""The guide's examples run as they stand there."""

import asyncio
import io
import re
import unittest
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient, RequestFactory

from asgi_llm import Identity
from asgi_llm_django import exchange_settled

GUIDE = Path(__file__).parents[3] / "docs" / "django.md"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the guide's code makes, in one namespace."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("GATEWAY_KEY", "k-1")
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 10
    names: dict[str, Any] = {"INSTALLED_APPS": [], "urlpatterns": [], "__name__": "guide"}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    exchange_settled.disconnect(names["record"])
    return names


def test_its_settings_work(names: dict[str, Any], configured: Any) -> None:
    from asgi_llm_django import get_gateway

    configured({"auth": {}, **names["ASGI_LLM"]})
    assert get_gateway().explain("gpt-5").legs[0].target == "gpt"
    assert get_gateway().settings.store.address == "django"
    assert names["INSTALLED_APPS"] == ["asgi_llm_django"]
    assert len(names["urlpatterns"]) == 1


async def test_its_key_and_its_identity_let_in(names: dict[str, Any], configured: Any) -> None:
    configured(names["ASGI_LLM"])
    headers = {"authorization": "Bearer k-1"}
    answer = await AsyncClient().post(
        "/llm/v1/chat/completions", CHAT, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200

    class User:
        pk = 3
        is_authenticated = True

    request = RequestFactory().get("/")
    request.user = User()  # type: ignore[assignment]  # stands for one
    assert names["customer"](request) == Identity(subject="user:3", tenant="testserver", roles=("beta",))


async def test_its_views_ask_models(names: dict[str, Any]) -> None:
    class User:
        pk = 3
        is_authenticated = True

    async def auser() -> User:
        return User()

    request: Any = RequestFactory().get("/")
    request.user, request.auser = User(), auser
    assert (await asyncio.to_thread(names["motto"], request)).content == b"A motto, please."
    assert (await names["amotto"](request)).content == b"A motto, please."


async def test_its_receiver_is_told(names: dict[str, Any], settled: list[Any], capsys: Any) -> None:
    await AsyncClient().post("/llm/v1/chat/completions", CHAT, content_type="application/json")
    while not settled:
        await asyncio.sleep(0.01)
    names["record"](settled[0])
    assert "anonymous ok" in capsys.readouterr().out


def test_its_test_passes(names: dict[str, Any]) -> None:
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(names["ChatTests"])
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    assert result.wasSuccessful(), result.errors + result.failures
    assert result.testsRun == 1
