"""The page about the providers is what their records say."""

import tomllib
from pathlib import Path

import pytest

from asgi_llm.gateway import Gateway
from asgi_llm.providers.page import page
from asgi_llm.providers.registry import PROVIDERS

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m asgi_llm.providers.page > docs/providers.md"


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_is_on_it(name: str) -> None:
    assert f"\n| `{name}` | " in page()


def test_its_settings_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENROUTER_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "k")
    settings = tomllib.loads(page().partition("```toml\n")[2].partition("```")[0])
    gateway = Gateway({**settings, "default_target": "gpt"})
    assert gateway.explain("gpt-5", "chat").legs[0].model == "my-deployment"
    assert gateway.explain("gpt-5", "chat").legs[0].workers == ("https://my-resource.openai.azure.com/openai/v1",)
