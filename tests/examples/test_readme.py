"""The code of README.md is run, not only shown; and what documents point to is there."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_llm import Settings
from asgi_llm_fastapi.demo import create_app, settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/README.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
KEYS = {"OPENAI_API_KEY": "openai-key", "ANTHROPIC_API_KEY": "anthropic-key", "GATEWAY_KEY": "gateway-key"}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the FastAPI example defines."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    (code,) = [block for block in PYTHON if "LLMMiddleware" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    return names


async def test_the_application_answers_beside_the_gateway_and_the_gateway_asks_for_a_key(
    example: dict[str, Any],
) -> None:
    app, gateway = example["app"], example["gateway"]
    app.get("/own")(lambda: "mine")
    async with (
        gateway.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client,
    ):
        assert (await client.get("/own")).json() == "mine"
        assert (await client.get("/llm/health")).status_code == 200
        refused = await client.post("/llm/v1/messages", json={"model": "claude-x", "max_tokens": 9, "messages": []})
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
        assert (await client.get("/llm/nothing/here")).status_code == 404


async def test_models_go_where_the_readme_sends_them(example: dict[str, Any]) -> None:
    routes = [(route.model, route.target) for route in example["gateway"].settings.routes]
    assert routes == [("claude-*", "claude"), ("*", "gpt")]


def test_the_sdk_lines_are_python() -> None:
    blocks = [block for block in PYTHON if "LLMMiddleware" not in block]
    assert len(blocks) == 3
    for block in blocks:
        compile(block, "README.md", "exec")


async def test_the_pasted_command_is_answered_by_the_demo() -> None:
    ((path, body),) = re.findall(
        r"^curl -N http://127.0.0.1:8000(\S+) .*?-d '(.*?)'$", README, re.DOTALL | re.MULTILINE
    )
    app = create_app(Settings.load(settings({})))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://host") as client,
    ):
        answer = await client.post(path, json=json.loads(body))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "Hello" in answer.text
    assert answer.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def anchors(document: Path) -> set[str]:
    """Where a link can lead to inside of a document: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_headings_that_are_there(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if link[1] not in anchors(document.parent / link[0] if link[0] else document)] == []


def test_the_files_that_contributors_are_sent_to_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([a-z_]+/[a-z_/]*[a-z_]+\.py)`", text)
    assert len(paths) > 15
    assert [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "asgi_llm"))] == []
