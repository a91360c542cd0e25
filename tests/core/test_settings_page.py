"""docs/settings.md: what it shows loads, and no setting goes without a word in the documentation."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from asgi_llm import Gateway, Settings
from asgi_llm.settings.spelling import models_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "settings.md").read_text(encoding="utf-8")


def test_what_the_page_shows_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("CI_KEY", "secret")
    secret = tmp_path / "anthropic"
    secret.write_text("sk-2\n")
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    gateway = Gateway(tomllib.loads(example.replace("/run/secrets/anthropic", str(secret))))
    fast, opus, sound = (gateway.explain(name) for name in ("fast", "claude-opus-4-5", "gpt-5-audio-mini"))
    assert (fast.rung, fast.legs[0].model) == ("default", "gpt-5-mini")
    assert [leg.target for leg in opus.legs] == ["claude", "openai"]
    assert (sound.status, sound.code) == (403, "model_not_permitted")


def fields(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    if model not in seen:
        seen.add(model)
        for name, field in model.model_fields.items():
            yield name
            for inner in models_of(field.annotation):
                yield from fields(inner, seen)


def test_every_setting_is_named_in_the_documentation() -> None:
    pages = [page.read_text(encoding="utf-8") for page in DOCS.glob("*.md") if page.name != "lossiness.md"]
    code = [found for page in pages for found in re.findall(r"`[^`\n]+`|^```.*?^```", page, re.DOTALL | re.MULTILINE)]
    words = set(re.findall(r"[a-z0-9_]+", " ".join(code)))
    names = set(fields(Settings, set()))
    assert len(names) > 150
    assert names - words - {"cache_write_1h"} == set()  # beside cache_write_5m, where it goes without saying
