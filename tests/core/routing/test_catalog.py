"""Allow and deny lists, and the globs they are made of."""

import pytest

from asgi_llm.routing.catalog import Catalog, compile_glob, is_pattern


@pytest.mark.parametrize(
    ("allow", "deny", "model", "permitted"),
    [
        ((), (), "anything", True),
        (("gpt-*",), (), "gpt-5", True),
        (("gpt-*",), (), "claude", False),
        (("gpt-*", "claude"), (), "claude", True),
        ((), ("*-audio-*",), "gpt-audio-1", False),
        ((), ("*-audio-*",), "gpt-5", True),
        (("gpt-*",), ("gpt-5",), "gpt-5", False),
        (("gpt-5",), ("*",), "gpt-5", False),
        (("gpt-*",), (), "", False),
        (("gpt-*",), (), "GPT-5", False),
    ],
)
def test_allowed_and_not_denied(allow: tuple[str, ...], deny: tuple[str, ...], model: str, permitted: bool) -> None:
    assert Catalog(allow, deny).permits(model) is permitted


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("gpt-*", ["gpt-", "gpt-5", "gpt-5/x/y"], ["xgpt-5", "gpt", "GPT-5"]),
        ("a?c", ["abc", "a/c"], ["ac", "abbc"]),
        ("o[1-4]", ["o1", "o4"], ["o5", "o", "o12"]),
        ("o[!1-4]", ["o5", "ox"], ["o1"]),
        ("a.b", ["a.b"], ["axb"]),
        ("a+b$", ["a+b$"], ["aab"]),
        ("x", ["x"], ["x\n", "x ", "xx"]),
        ("*", ["", "a\nb"], []),
    ],
)
def test_a_glob_is_anchored_case_sensitive_and_crosses_slashes(
    pattern: str, matching: list[str], other: list[str]
) -> None:
    matches = compile_glob(pattern)
    assert [name for name in matching if not matches(name)] == []
    assert [name for name in other if matches(name)] == []


@pytest.mark.parametrize(("text", "pattern"), [("gpt-5", False), ("gpt-*", True), ("o?", True), ("o[1]", True)])
def test_what_can_match_more_than_itself_is_a_pattern(text: str, pattern: bool) -> None:
    assert is_pattern(text) is pattern
