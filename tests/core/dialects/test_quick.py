"""The short way of a piece of text through a translated stream says what the long one says."""

from collections.abc import Callable

import msgspec
import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import Failure, TextDelta

HEAD = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
TAIL = b',"logprobs":null,"finish_reason":null}]}\n\n'
TEXTS = ("Hello", ' "wor\\ld"\n', "", "\u2028 ü 😀", " again", "x" * 300)
LAST = (
    HEAD + b'{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n',
    b"data: [DONE]\n\n",
)


def pieces() -> list[bytes]:
    said = [HEAD + b'{"content":' + msgspec.json.encode(text) + b"}" + TAIL for text in TEXTS]
    call = b'{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}}]}'
    return [HEAD + b'{"role":"assistant","content":""}' + TAIL, *said, HEAD + call + TAIL, *said, *LAST]


def answer() -> Answer:
    return Answer(model="m", include_usage=True, now=lambda: 1.0, mint=lambda prefix: prefix + "x" * 24)


def two_answers() -> list[bytes]:
    """Of which that of the higher number speaks first, and is the first."""
    said = [HEAD + b'{"content":' + msgspec.json.encode(text) + b"}" + TAIL for text in ("one", "two", "three", "four")]
    other = [piece.replace(b'"index":0', b'"index":1') for piece in said]
    mixed = [piece for pair in zip(other, said, strict=True) for piece in pair]
    return [*mixed, LAST[0].replace(b'"index":0', b'"index":1'), *LAST]


@pytest.mark.parametrize("script", [pieces, two_answers])
@pytest.mark.parametrize("name", ["chat", "messages", "responses", "gemini"])
def test_it_says_what_the_long_way_says(name: str, script: Callable[[], list[bytes]]) -> None:
    decoder = CHAT.stream_decoder(Restore())
    short, long = DIALECTS[name].stream_encoder(answer()), DIALECTS[name].stream_encoder(answer())
    told, expected, taken = b"", b"", 0
    for data in script():
        events = decoder.feed(data)
        only = events[0] if len(events) == 1 else None
        said = short.quick(only) if isinstance(only, TextDelta) else None
        taken += said is not None
        told += short.feed(events) if said is None else said
        expected += long.feed(events)
    assert told == expected
    assert taken >= 3
    if name != "chat":  # the others write the first answer only
        assert short.quick(TextDelta(0, "more", 1)) is None


@pytest.mark.parametrize("name", ["chat", "messages", "responses", "gemini"])
def test_nothing_follows_the_end(name: str) -> None:
    decoder, encoder = CHAT.stream_decoder(Restore()), DIALECTS[name].stream_encoder(answer())
    encoder.feed(decoder.feed(pieces()[0]) + decoder.feed(pieces()[1]))
    encoder.feed([Failure(UpstreamError("it broke off", cause=Cause.RESET))])
    assert encoder.quick(TextDelta(0, "more", 0)) is None
