"""A stream says the same whether its events are read one by one or told by their mould."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.chat.mould import Mould
from asgi_llm.dialects.chat.stream import ChatStreamDecoder
from asgi_llm.dialects.interface import Restore
from asgi_llm.neutral.events import Event, Failure, TextDelta


def chunk(text: str, *, ascii_only: bool = True, index: int = 0, more: str = "") -> bytes:
    said = json.dumps(text, ensure_ascii=ascii_only)
    choice = f'{{"index":{index},"delta":{{"content":{said}{more}}},"finish_reason":null}}'
    return f'data: {{"id":"c","created":1,"model":"m","choices":[{choice}],"usage":null}}\n\n'.encode()


END = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def heard(pieces: list[bytes]) -> list[Event]:
    decoder = ChatStreamDecoder(Restore())
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def read(pieces: list[bytes]) -> list[Event]:
    """As ``heard``, by the long way: a comment before an event keeps it from being told by its mould."""
    return heard([b": -\n" + piece for piece in pieces])


texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"content":', '"', "\\", "\n\n", "\u2028", "data: ", '"},"finish_reason":"stop"', "[DONE]"]
)
pieces = st.builds(
    chunk,
    texts,
    ascii_only=st.booleans(),
    index=st.integers(0, 1),
    more=st.sampled_from(
        ["", ',"refusal":"No."', ',"reasoning":"Well."', ',"role":"assistant"', ',"x":{"content":"y"}']
    ),
)


@given(st.lists(pieces | st.just(END), max_size=12))
def test_the_short_way_hears_what_the_long_way_hears(stream: list[bytes]) -> None:
    stream = [*stream, END, DONE]
    assert repr(heard(stream)) == repr(read(stream))


@pytest.mark.parametrize(
    "broken",
    [
        chunk("x").replace(b'"x"', b"12"),
        chunk("x").replace(b'"x"', b"null"),
        chunk("x").replace(b'"x"', b'"x'),
        chunk("x").replace(b'"x"', b'"\xff"'),
        chunk("x").replace(b'"x"', b'"x","refusal":"No."'),
        chunk("x").replace(b'"x"', b'"x"}}]}\n\ndata: {"choices":[{"delta":{"content":"y"'),
        chunk("x")[:-1],
        chunk("x") + chunk("y"),
        chunk("x").replace(b'"x"', b'""'),
        b"data: ",
        b"",
    ],
)
def test_what_is_not_out_of_the_mould_is_read(broken: bytes) -> None:
    stream = [chunk("a"), chunk("b"), broken, chunk("c"), END, DONE]
    assert repr(heard(stream)) == repr(read(stream))


def test_most_of_a_stream_is_told_by_its_mould(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str | None] = []
    plain = Mould.text

    def text(self: Mould, event: bytes) -> str | None:
        told.append(plain(self, event))
        return told[-1]

    monkeypatch.setattr(Mould, "text", text)
    events = heard([*(chunk(f" {number}") for number in range(10)), END, DONE])
    assert [event.text for event in events if type(event) is TextDelta] == [f" {number}" for number in range(10)]
    assert [said for said in told if said is not None] == [f" {number}" for number in range(2, 10)]
    assert not any(isinstance(event, Failure) for event in events)


def test_a_server_that_writes_something_new_into_each_event_is_not_studied_for_ever() -> None:
    decoder = ChatStreamDecoder(Restore())
    for number in range(20):
        decoder.feed(chunk("a", more=f',"padding":"{number}"'))
    assert decoder._lessons == 0
