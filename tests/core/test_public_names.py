"""The names that others build upon. A change here is a change for users, and belongs in the changelog."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

import asgi_llm

ROOT = [
    "AsgiLLMError",
    "ClientError",
    "ConfigError",
    "Exchange",
    "Gateway",
    "Identity",
    "LLMMiddleware",
    "PolicyError",
    "Problem",
    "Settings",
    "TranslationError",
    "UpstreamError",
    "Usage",
]
TESTING = [
    "ASGIDriver",
    "Answer",
    "Call",
    "ClientGoneError",
    "Close",
    "Delay",
    "Exchange",
    "Head",
    "Recorded",
    "Reset",
    "ScriptedUpstream",
    "Stall",
    "Tokens",
    "Wait",
    "chat_completion",
    "chat_error",
    "chat_events",
    "chat_stream",
    "chat_text",
    "gemini_error",
    "gemini_events",
    "gemini_response",
    "gemini_stream",
    "gemini_text",
    "messages_error",
    "messages_events",
    "messages_message",
    "messages_stream",
    "messages_text",
    "no_leaks",
    "responses_error",
    "responses_events",
    "responses_response",
    "responses_stream",
    "responses_text",
]


def test_the_root_has_these_names() -> None:
    assert asgi_llm.__all__ == ROOT
    assert len(ROOT) <= 20


def test_the_server_has_this_name() -> None:
    assert importlib.import_module("asgi_llm.server").__all__ == ["Protocol"]


def test_the_test_kit_has_these_names() -> None:
    assert importlib.import_module("asgi_llm.testing").__all__ == TESTING


def test_the_fastapi_integration_has_these_names() -> None:
    """Read, not imported: the framework need not be there."""
    found = importlib.util.find_spec("asgi_llm_fastapi")
    source = found.origin if found and found.origin else "integrations/asgi_llm_fastapi/__init__.py"
    tree = ast.parse(Path(source).read_text(encoding="utf-8"))
    (names,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert ast.literal_eval(names) == ["llm_client", "llm_router"]


@pytest.mark.parametrize("module", ["asgi_llm", "asgi_llm.server", "asgi_llm.testing"])
def test_names_are_sorted_and_exist(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__all__ == sorted(loaded.__all__)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
