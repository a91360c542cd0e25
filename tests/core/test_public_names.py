"""The names that others build upon. A change here is a change for users, and belongs in the changelog."""

import importlib

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


def test_the_test_kit_has_these_names() -> None:
    assert importlib.import_module("asgi_llm.testing").__all__ == TESTING


@pytest.mark.parametrize("module", ["asgi_llm", "asgi_llm.testing"])
def test_names_are_sorted_and_exist(module: str) -> None:
    loaded = importlib.import_module(module)
    assert loaded.__all__ == sorted(loaded.__all__)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
