"""Calls whose arguments an upstream streams in pieces are told as whole ones."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Restore, ToolShape
from asgi_llm.errors import UpstreamError
from asgi_llm.neutral.fold import fold
from asgi_llm.neutral.request import Carrier, Part, Text, ToolCall
from asgi_llm.neutral.response import Candidate

SIGNED = Carrier("google.thought_signature", "c2ln", provider="google")


def call(*partial: Any, more: bool | None = True, **members: Any) -> Any:
    found: dict[str, Any] = {**members}
    if partial:
        found["partialArgs"] = list(partial)
    if more is not None:
        found["willContinue"] = more
    return {"functionCall": found}


def at(path: str, **value: Any) -> Any:
    return {"jsonPath": path, **value}


def read(*parts: Any, finish: str = "STOP", restore: Restore | None = None) -> Candidate:
    decoder = GEMINI.stream_decoder(restore or Restore())
    events = []
    for place, part in enumerate(parts):
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        if place == len(parts) - 1:
            candidate["finishReason"] = finish
        events += decoder.feed(b"data: %b\n\n" % json.dumps({"candidates": [candidate]}).encode())
    return fold(events + decoder.end()).candidates[0]


def arguments(part: Part) -> str:
    assert isinstance(part, ToolCall)
    return part.arguments


def test_a_call_in_pieces() -> None:
    candidate = read(
        {"text": "Let me see."},
        {**call(name="light", id="c1"), "thoughtSignature": "c2ln"},
        call(at("$.brightness", numberValue=50), at("$.on", boolValue=True), at("$.scene", nullValue="NULL_VALUE")),
        call(at("$.room", stringValue="Bos", willContinue=True)),
        call(at("$.room", stringValue='ton, \u00e9"')),
        call(more=None),
        call(name="f", args={"a": 1}, more=None),
    )
    text, light, other = candidate.parts
    assert text == Text("Let me see.")
    expected = '{"brightness":50,"on":true,"scene":null,"room":"Boston, \u00e9\\""}'
    assert light == ToolCall("c1", "light", expected, carriers=(SIGNED,))
    assert other == ToolCall("", "f", '{"a":1}')
    assert candidate.finish.reason == "tool_calls"


def test_paths_into_objects_and_lists() -> None:
    candidate = read(
        call(at("$.foo.bar[0].data", stringValue="a", willContinue=True), name="f"),
        call(at("$.foo.bar[1].data", numberValue=12345678901234567890), at("$.foo.bar[0].data", stringValue="b")),
        call(at('$[\'it\\\'s "odd"\']["x.y"]', stringValue=""), more=False),
    )
    told = json.loads(arguments(candidate.parts[0]))
    assert told == {
        "foo": {"bar": [{"data": "ab"}, {"data": 12345678901234567890}]},
        'it\'s "odd"': {"x.y": ""},
    }


def test_calls_one_after_another_without_a_word_between_them() -> None:
    """Snake case as some servers write it; a call without arguments; one that is followed by another at once."""
    candidate = read(
        {"function_call": {"name": "f", "will_continue": True}},
        {"function_call": {"partial_args": [{"json_path": "$.a_b", "string_value": "x"}], "will_continue": True}},
        {"function_call": {"name": "g", "will_continue": True}},
        {"function_call": {}},
    )
    assert candidate.parts == (ToolCall("", "f", '{"a_b":"x"}'), ToolCall("", "g", "{}"))


def test_a_free_text_tool() -> None:
    restore = Restore(tools={"patch": ToolShape("apply_patch", kind="text")})
    pieces = [call(name="patch"), call(at("$.input", stringValue="***")), call(at("$.input", stringValue=" x")), call()]
    candidate = read(*pieces, call(more=None), restore=restore)
    assert candidate.parts == (ToolCall("", "apply_patch", "*** x", "text"),)


@pytest.mark.parametrize(("finish", "reason"), [("MAX_TOKENS", "max_tokens"), ("STOP", "malformed_call")])
def test_a_call_that_was_never_whole_is_none(finish: str, reason: str) -> None:
    """Whoever ran it would run it with half its arguments."""
    candidate = read({"text": "a"}, call(at("$.path", stringValue="/"), name="remove"), finish=finish)
    assert candidate.parts == (Text("a"),)
    assert candidate.finish.reason == reason


@pytest.mark.parametrize(
    "path", ["", "$", "a", "$.", "$..a", "$.*", "$[*]", "$.a[1]", "$[0]", "$.b.c", "$[?@.a]", "$" + ".a" * 101]
)
def test_a_path_that_is_not_understood_fails_the_answer(path: str) -> None:
    with pytest.raises(UpstreamError) as failure:
        read(call(at("$.b", numberValue=1), name="f"), call(at(path, stringValue="x")))
    assert failure.value.code == "upstream_invalid_answer"
