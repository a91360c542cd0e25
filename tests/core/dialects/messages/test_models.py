"""The catalogue finds a model under every spelling of its name."""

import pytest

from asgi_llm.dialects.messages.models import NEWEST, PERMISSIVE, capabilities


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("claude-opus-5-5-20260901", "claude-opus-5-5"),
        ("anthropic/claude-opus-4.6", "claude-opus-4-6"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-3-7-sonnet@20250219", "claude-sonnet-4-20250514"),
        ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022"),
        ("publishers/anthropic/models/claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("CLAUDE-OPUS-4-1", "claude-opus-4-1-20250805"),
    ],
)
def test_spellings_of_one_model(name: str, same: str) -> None:
    assert capabilities(name) == capabilities(same)
    assert capabilities(name) not in (PERMISSIVE, NEWEST)


@pytest.mark.parametrize("name", ["deepseek-chat", "kimi-k3", "my-claude", "claudette-1", ""])
def test_other_models_get_the_permissive_profile(name: str) -> None:
    assert capabilities(name) is PERMISSIVE


def test_a_claude_model_of_the_future_is_taken_for_a_new_one() -> None:
    assert capabilities("claude-saga-7") is NEWEST


def test_versions_are_not_mistaken_for_one_another() -> None:
    assert capabilities("claude-opus-5").budget
    assert not capabilities("claude-opus-5-5").budget
    assert capabilities("claude-opus-4-20250514").max_output == 32_000
    assert capabilities("claude-sonnet-5-20260401").adaptive
    assert capabilities("claude-fable-5-20260101").forced_tools == "always"
    assert capabilities("claude-fable-5-1").forced_tools == "never"
    assert capabilities("claude-fable-5-20260101") != capabilities("claude-fable-5-2")
