"""The guide's examples run as they stand there."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("litestar")

import litestar.di
from litestar import Litestar
from litestar.testing import TestClient

from asgi_llm_litestar import LLMPlugin

GUIDE = Path(__file__).parents[3] / "docs" / "litestar.md"


def test_its_application_and_its_test_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not hasattr(litestar.di, "NamedDependency"):
        pytest.skip("the guide is written for a newer Litestar")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    # Litestar looks for the names in a signature in the module that it stands in.
    (tmp_path / "litestar_guide.py").write_text("\n".join(blocks), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    guide: Any = importlib.import_module("litestar_guide")
    guide.test_chat()
    assert "/llm/v1/messages" in guide.app.openapi_schema.to_schema()["paths"]
    with TestClient(Litestar([guide.where, guide.motto], plugins=[LLMPlugin(guide.config)])) as client:
        assert client.get("/where").text == "gpt"
        assert client.get("/motto", headers={"authorization": "Bearer ann's token"}).text.startswith("A motto")
        assert client.get("/motto").status_code == 401
        assert client.get("/team/v1/models", headers={"authorization": "Bearer ann's token"}).status_code == 200
