"""The command group, as the command line of Litestar runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("litestar")

APP = """
from litestar import Litestar
from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

tree = {
    "targets": {"echo": {"provider": "echo"}, "closed": {"provider": "echo", "deny": ["*"]}},
    "routes": [{"model": "shut-*", "target": "closed", "fallback": ["echo"]}],
    "default_target": "echo",
}
app = Litestar(plugins=[LLMPlugin(LLMPluginConfig(settings=tree))])
second = LLMPluginConfig(settings={"targets": {"other": {"provider": "echo"}}}, path="/b/c", dependency_key="c")
two = Litestar(plugins=[LLMPlugin(LLMPluginConfig(settings=tree)), LLMPlugin(second)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def run(folder: Path, *arguments: str, app: str = "shop:app") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "litestar", "--app", app, "--app-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_check_shows_what_is_configured(folder: Path) -> None:
    done = run(folder, "llm", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["below /llm", "ok: 2 targets, 1 route"]
    assert "  shut-* -> closed -> echo" in done.stdout


def test_two_gateways_are_told_apart_by_their_paths(folder: Path) -> None:
    lines = run(folder, "llm", "check", app="shop:two").stdout.splitlines()
    assert [line for line in lines if line.startswith("below")] == ["below /b/c", "below /llm"]
    which = run(folder, "llm", "explain", "--model", "m", app="shop:two")
    assert which.returncode == 2
    assert "--path /b/c or /llm" in which.stderr
    assert "1. other" in run(folder, "llm", "explain", "--model", "m", "--path", "/b/c", app="shop:two").stdout


def test_explain_says_where_a_request_would_go(folder: Path) -> None:
    done = run(folder, "llm", "explain", "--model", "gpt-5", "--dialect", "messages")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("model gpt-5, messages dialect\n")
    refused = run(folder, "llm", "explain", "--model", "shut-1", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "model_not_permitted"


def test_the_other_commands_are_about_the_application(folder: Path) -> None:
    kept = f'"store": {{"url": "sqlite:///{folder}/llm.db"}}, "auth": {{"issued": {{}}}},'
    (folder / "shop.py").write_text(APP.replace('"routes"', f'{kept} "routes"'))
    made = run(folder, "llm", "keys", "create", "--subject", "ann", "--lifetime", "90d")
    assert (made.returncode, made.stdout[:4]) == (0, "llm_"), made.stderr
    assert "ann" in run(folder, "llm", "keys", "list", "--path", "/llm").stdout


def test_mistakes_are_told_in_words(folder: Path) -> None:
    (folder / "shop.py").write_text(APP.replace('"default_target": "echo"', '"default_target": "ecco"'))
    done = run(folder, "llm", "check")
    assert done.returncode != 0
    assert "default_target" in done.stderr
    assert "ecco" in done.stderr
