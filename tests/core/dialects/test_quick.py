"""The short way of a piece of text through a translated stream says what the long one says."""

import msgspec
import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Answer, QuickDecoder, QuickEncoder, Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.neutral.events import Event

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


@pytest.mark.parametrize("name", ["messages", "responses", "gemini"])
def test_it_says_what_the_long_way_says(name: str) -> None:
    quick, slow = CHAT.stream_decoder(Restore()), CHAT.stream_decoder(Restore())
    short, long = DIALECTS[name].stream_encoder(answer()), DIALECTS[name].stream_encoder(answer())
    assert isinstance(quick, QuickDecoder)
    assert isinstance(short, QuickEncoder)
    told, expected, taken = b"", b"", 0
    for data in pieces():
        more = quick.quick(data)
        events: list[Event] = quick.feed(data) if more is None else [more]
        assert events == slow.feed(data)
        said = short.quick(more) if more is not None else None
        taken += said is not None
        told += short.feed(events) if said is None else said
        expected += long.feed(events)
    assert told == expected
    assert taken >= 4
