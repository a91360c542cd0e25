"""Event streams in any chunking."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.sse import Frame, FrameTooLargeError, SSEReader, frame


def read(wire: bytes, *cuts: int) -> list[Frame]:
    """All events of ``wire``, fed in pieces cut at the given places."""
    reader, edges = SSEReader(), [0, *sorted(cuts), len(wire)]
    frames = []
    for index in range(len(edges) - 1):
        frames += reader.feed(wire[edges[index] : edges[index + 1]])
    frames += reader.end()
    assert not reader.pending
    return frames


def by_the_book(wire: bytes) -> list[Frame]:
    """The specification's algorithm, line by line; and what is left at the end counts as an event, too."""
    event, data, frames = b"", [], []
    lines = re.split(rb"\r\n|\n|\r", wire.removeprefix(b"\xef\xbb\xbf"))
    for line in [*lines, b""]:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                frames.append(Frame(event, b"\n".join(data)))
            event, data = b"", []
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    return frames


@pytest.mark.parametrize(
    ("wire", "frames"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a \n\n", [(b"", b" a ")]),
        (b"event: ping\ndata: {}\n\n", [(b"ping", b"{}")]),
        (b"data: {}\nevent: ping\n\n", [(b"ping", b"{}")]),
        (b"event:ping\r\ndata:{}\r\n\r\n", [(b"ping", b"{}")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\n\r\ndata: b\r\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"data: a\ndata\ndata: b\n\n", [(b"", b"a\n\nb")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data:\n\n", [(b"", b"")]),
        (b": keep-alive\n\ndata: a\n\n", [(b"", b"a")]),
        (b": note\ndata: a\n: note\n\n", [(b"", b"a")]),
        (b"id: 7\nretry: 10\ndata: a\n\n", [(b"", b"a")]),
        (b"event: ping\n\n", []),
        (b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
        (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
        (b" data: a\n\n", []),
        (b"dat: a\n\nDATA: b\n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        ("data: a\u2028b\u0085c\x0bd\x0ce\n\n".encode(), [(b"", "a\u2028b\u0085c\x0bd\x0ce".encode())]),
        (b"data: \xff\xfe\n\n", [(b"", b"\xff\xfe")]),
        (b"data: a: b\n\n", [(b"", b"a: b")]),
        (b"data: [DONE]", [(b"", b"[DONE]")]),
        (b"event: e\ndata: a\n", [(b"e", b"a")]),
        (b"event: e\ndata: a\r", [(b"e", b"a")]),
        (b"event: e", []),
        (b"", []),
    ],
)
def test_whole_and_byte_by_byte(wire: bytes, frames: list[tuple[bytes, bytes]]) -> None:
    expected = [Frame(*pair) for pair in frames]
    assert read(wire) == expected
    assert read(wire, *range(1, len(wire))) == expected
    for cut in range(1, len(wire)):
        assert read(wire, cut) == expected
    assert by_the_book(wire) == expected


PIECES = st.sampled_from(
    [b"data: ", b"data:", b"data", b"event: ", b": ", b":", b"id: 1", b"\n", b"\n", b"\n\n", b"\r", b"\r\n",
     b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef", b'{"a":1}', b"x", b" "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map(b"".join), st.data())
def test_any_wire_in_any_chunking_is_what_the_specification_says(wire: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8))
    assert read(wire, *cuts) == by_the_book(wire)


@given(st.lists(st.tuples(st.text("abc._", max_size=5), st.text().filter(lambda text: not set("\r\n") & set(text)))))
def test_what_is_written_is_read(pairs: list[tuple[str, str]]) -> None:
    frames = [Frame(event.encode(), data.encode()) for event, data in pairs]
    assert read(b"".join(frame(item.data, item.event) for item in frames)) == frames


def test_an_event_comes_as_soon_as_its_blank_line_does() -> None:
    reader = SSEReader()
    assert reader.feed(b"data: a\n") == []
    assert reader.pending
    assert reader.feed(b"\n") == [Frame(b"", b"a")]
    assert not reader.pending
    assert reader.feed(b"data: b\r\n\r") == [Frame(b"", b"b")]
    assert reader.feed(b"\ndata: c\n\n") == [Frame(b"", b"c")]


def test_an_unfinished_event_is_held_up_to_the_limit() -> None:
    reader = SSEReader(limit=100)
    assert reader.feed(b"data: " + b"x" * 94) == []
    with pytest.raises(FrameTooLargeError):
        reader.feed(b"x")


def test_the_limit_is_for_one_event_not_for_the_stream() -> None:
    reader = SSEReader(limit=100)
    for _ in range(50):
        assert reader.feed(b"data: " + b"x" * 60) == []
        assert len(reader.feed(b"\n\ndata: y\n\n")) == 2


def test_a_large_event_in_small_pieces_takes_linear_time() -> None:
    """A reader that joins all it holds on each piece would copy 80 GB here."""
    reader, piece = SSEReader(), b"x" * 64
    reader.feed(b"data: ")
    for _ in range(50_000):
        reader.feed(piece)
    assert reader.feed(b"\n\n") == [Frame(b"", piece * 50_000)]
