"""The one argument of a free-text tool's stand-in, whole and from fragments."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.messages.restore import FreeText, free_text


def streamed(arguments: str, cuts: list[int]) -> str:
    free, out, at = FreeText(), "", 0
    for cut in [*sorted(min(cut, len(arguments)) for cut in cuts), len(arguments)]:
        out += free.feed(arguments[at:cut])
        at = cut
    return out + free.end()


@given(st.text(st.characters(codec="utf-8")), st.booleans(), st.lists(st.integers(0, 80)))
def test_any_text_in_any_pieces(text: str, ascii_only: bool, cuts: list[int]) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    assert free_text(arguments) == text
    assert streamed(arguments, cuts) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": 5}', '{"input": 5}'),
        ("free", "free"),
        ("", ""),
        ('{"other":1,"input":"late"}', "late"),
        (' {\n"input" : "a" , "b":2}', "a"),
        ('{"' + "x" * 90 + '":1,"input":"far"}', "far"),
    ],
)
def test_arguments_of_another_shape(arguments: str, text: str) -> None:
    assert free_text(arguments) == text
    assert streamed(arguments, list(range(len(arguments)))) == text


def test_text_is_handed_out_as_it_comes() -> None:
    free = FreeText()
    assert [free.feed(piece) for piece in ('{"inp', 'ut":"a', "b\\", "nc", '"}')] == ["", "a", "b", "\nc", ""]
    assert free.end() == ""
