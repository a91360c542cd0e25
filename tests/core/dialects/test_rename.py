"""The caller's name of the model, put back into a passing stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.rename import RenameModel


def renamed(wire: bytes, *cuts: int, model: str = "fast") -> bytes:
    renamer, edges = RenameModel(model), [0, *sorted(cuts), len(wire)]
    pieces = [renamer.feed(wire[edges[index] : edges[index + 1]]) for index in range(len(edges) - 1)]
    return b"".join(pieces) + renamer.end()


CHAT = (
    b'data: {"id":"1","model":"gpt-5-2026","choices":[{"delta":{"content":"say \\"model\\":\\"gpt-5-2026\\""}}]}\n\n'
    b'data: {"id":"1","model":"gpt-5-2026","choices":[]}\n\ndata: [DONE]\n\n'
)


@pytest.mark.parametrize(
    ("wire", "edited"),
    [
        (CHAT, CHAT.replace(b'"model":"gpt-5-2026"', b'"model":"fast"')),
        (
            b'event: message_start\ndata: {"message": {"model": "claude-x", "id":"m"}}\n\nevent: ping\ndata: {}\n\n',
            b'event: message_start\ndata: {"message": {"model":"fast", "id":"m"}}\n\nevent: ping\ndata: {}\n\n',
        ),
        (b'data: {"model":"a"}\r\n\r\ndata: {"model":"a"}\r\n\r\n',
         b'data: {"model":"fast"}\r\n\r\ndata: {"model":"fast"}\r\n\r\n'),
        (b'data: {"model":"a\\"b"}\n\n', b'data: {"model":"fast"}\n\n'),
        (b'data: {"model":null}\n\n', b'data: {"model":null}\n\n'),
        (b": keep-alive\n\ndata: {}\n\n", b": keep-alive\n\ndata: {}\n\n"),
        (b'data: {"model":"a"}', b'data: {"model":"fast"}'),
        (b"", b""),
    ],
)  # fmt: skip
def test_the_name_changes_and_nothing_else_in_any_chunking(wire: bytes, edited: bytes) -> None:
    assert renamed(wire) == edited
    assert renamed(wire, *range(1, len(wire))) == edited
    for cut in range(1, len(wire)):
        assert renamed(wire, cut) == edited


@given(st.lists(st.integers(0, len(CHAT)), max_size=10))
def test_any_chunking(cuts: list[int]) -> None:
    assert renamed(CHAT, *cuts) == renamed(CHAT)


def test_the_new_name_is_written_as_json() -> None:
    assert renamed(b'data: {"model":"a"}\n\n', model='b"\n') == b'data: {"model":"b\\"\\n"}\n\n'


def test_an_event_passes_when_it_is_whole() -> None:
    renamer = RenameModel("fast")
    assert renamer.feed(b'data: {"model":"a"}\n\ndata: {"mod') == b'data: {"model":"fast"}\n\n'
    assert renamer.feed(b'el":"a"}\n') == b""
    assert renamer.feed(b"\n") == b'data: {"model":"fast"}\n\n'
    assert renamer.end() == b""
