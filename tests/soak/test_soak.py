"""The soak, short: enough to meet every combination of dialects and faults. ``ASGI_LLM_SOAK=20000`` makes it long."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")


def load() -> Any:
    spec = importlib.util.spec_from_file_location("soak_run", Path(__file__).with_name("run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["soak_run"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.once
async def test_the_ledger_and_the_upstreams_agree(sql_url: str) -> None:
    count = int(os.environ.get("ASGI_LLM_SOAK", "2000"))
    books = await load().soak(count, sql_url)
    assert books.unsaid > count // 100
