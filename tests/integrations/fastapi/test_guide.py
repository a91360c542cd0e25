"""The guide's examples run as they stand there."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

GUIDE = Path(__file__).parents[3] / "docs" / "fastapi.md"


def test_its_application_and_its_test_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    names["test_chat"]()
    paths = names["app"].openapi()["paths"]
    assert {"/llm/v1/messages", "/team/v1/messages"} <= paths.keys()
