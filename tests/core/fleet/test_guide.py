"""The settings in the guide are settings."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Gateway

GUIDE = Path(__file__).parents[3] / "docs" / "fleet.md"
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_guide_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redis")
    for name, value in (("FLEET_KEY", "k"), ("GPU2_KEY", "k"), ("REDIS_URL", "redis://127.0.0.1:1/0")):
        monkeypatch.setenv(name, value)
    fleet, pair, admin, state = BLOCKS
    without_files = re.sub(r"^tls .*$", "tls = { verify = false }", fleet, flags=re.MULTILINE)
    tree: dict[str, Any] = tomllib.loads(without_files + admin + state)
    tree["targets"]["pair"] = {"provider": "sglang", **tomllib.loads(pair)}
    tree["default_target"] = "fleet"
    settings = Gateway(tree).settings
    assert [worker.weight for worker in settings.targets["fleet"].workers] == [1, 2]
    assert settings.admin.references == ("env://WORKER_*",)
