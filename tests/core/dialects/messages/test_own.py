"""Thoughts that the gateway signed leave a body that is passed on, and nothing else does."""

import pytest

from asgi_llm.dialects.messages.own import without_own_thoughts

OWN = b'{"type":"thinking","thinking":"Hm.","signature":"asgi-llm.v1.e30"}'
REDACTED = b'{"type":"redacted_thinking","data":"asgi-llm.v1.e30"}'
THEIRS = b'{"type": "thinking", "thinking": "\\u00e9", "signature": "c2ln"}'


def body(*contents: bytes) -> bytes:
    messages = b" , ".join(b'{"role" : "assistant", "content": %b, "x":1.0}' % content for content in contents)
    return b'{"messages": [%b],  "model":"m", "n":12345678901234567890}' % messages


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"[%b,%b, %b]" % (THEIRS, OWN, REDACTED), b"[%b]" % THEIRS),
        (b'[%b,{"type":"text","text":"a \\"b\\""}]' % OWN, b'[{"type":"text","text":"a \\"b\\""}]'),
    ],
)
def test_only_own_thoughts_go(given: bytes, expected: bytes) -> None:
    other = b'[ {"type":"text","text":"b"} ]'
    edited = without_own_thoughts(body(given, other))
    assert edited == body(expected, other).replace(b" , ", b",")


def test_a_message_of_nothing_else_goes_with_them() -> None:
    assert without_own_thoughts(body(b'"a"', b"[%b]" % OWN)) == body(b'"a"')


@pytest.mark.parametrize(
    "content",
    [
        b"[%b]" % THEIRS,
        b'"asgi-llm.v1. is only text"',
        b'[{"type":"text","text":"asgi-llm.v1.x"}]',
        b'[{"type":"thinking","signature":["asgi-llm.v1."]}]',
    ],
)
def test_all_else_stays_to_the_byte(content: bytes) -> None:
    assert without_own_thoughts(body(content)) == body(content)


@pytest.mark.parametrize("broken", [b'{"messages": 5, "a": "asgi-llm.v1."}', b'["asgi-llm.v1."]', b"asgi-llm.v1."])
def test_what_is_no_request_is_left_to_the_upstream(broken: bytes) -> None:
    assert without_own_thoughts(broken) == broken
