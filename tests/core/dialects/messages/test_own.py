"""What the gateway wrote in Anthropic's place leaves a body that is passed on, and nothing else does."""

import json

import pytest

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.messages.own import without_own_marks

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
    edited = without_own_marks(body(given, other))
    assert edited == body(expected, other).replace(b" , ", b",")


def test_a_message_of_nothing_else_goes_with_them() -> None:
    assert without_own_marks(body(b'"a"', b"[%b]" % OWN)) == body(b'"a"')


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
    assert without_own_marks(body(content)) == body(content)


@pytest.mark.parametrize("broken", [b'{"messages": 5, "a": "asgi-llm.v1."}', b'["asgi-llm.v1."]', b"asgi-llm.v1."])
def test_what_is_no_request_is_left_to_the_upstream(broken: bytes) -> None:
    assert without_own_marks(broken) == broken


USE = b'{"type":"server_tool_use","id":"srvtoolu_%b","name":"web_search","input":{"query":"q"}}'
HIT = b'{"type":"web_search_result","url":"https://a","title":"A","encrypted_content":"%b","page_age":null}'
FOUND = b'{"type":"web_search_tool_result","tool_use_id":"srvtoolu_%b","content":%b}'
CITED = b'{"type":"text","text":"It is.","cache_control":{"type":"ephemeral"},"citations":[%b]}'
PLACE = b'{"type":"web_search_result_location","url":"https://a","encrypted_index":"%b"}'
ERROR = b'{"type":"web_search_tool_result_error","error_code":"unavailable"}'


def test_searches_of_another_provider_become_text() -> None:
    """Anthropic validates what only it can have written, and refuses the whole request for one such block."""
    mark = b"asgi-llm.v1.e30"
    theirs = [USE % b"01", FOUND % (b"01", b"[%b]" % HIT % b"Ep0x")]
    ours = [USE % b"ws_1", FOUND % (b"ws_1", b"[%b]" % HIT % mark), USE % b"ws_2", FOUND % (b"ws_2", ERROR)]
    cited = CITED % b",".join([PLACE % b"Eo8x", PLACE % mark])
    given = b"[%b]" % b",".join([*theirs, *ours, cited, CITED % PLACE % mark])
    expected = b"[%b]" % b",".join([
        *theirs,
        b'{"type":"text","text":"A https://a"}',
        CITED % PLACE % b"Eo8x",
        b'{"type":"text","text":"It is.","cache_control":{"type":"ephemeral"}}',
    ])  # fmt: skip
    assert without_own_marks(body(given)) == body(expected)


@pytest.mark.parametrize("profile", [Profile(), Profile(provider="anthropic")])
def test_likewise_where_the_request_is_written_anew(profile: Profile) -> None:
    mark = b"asgi-llm.v1.e30"
    content = b"[%b]" % b",".join([
        USE % b"01", FOUND % (b"01", b"[%b]" % HIT % b"Ep0x"),
        USE % b"ws_1", FOUND % (b"ws_1", b"[%b]" % HIT % mark), USE % b"ws_2", FOUND % (b"ws_2", ERROR),
        CITED % PLACE % mark,
    ])  # fmt: skip
    asked = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"},%b,{"role":"user","content":"r"}]}'
    request = MESSAGES.decode_request(asked % (b'{"role":"assistant","content":%b}' % content))
    written = json.loads(MESSAGES.encode_request(request, profile).body)["messages"][1]["content"]
    assert [(block["type"], block.get("text")) for block in written] == [
        ("server_tool_use", None),
        ("web_search_tool_result", None),
        ("text", "A https://a"),
        ("text", "It is."),
    ]
    assert "citations" not in written[3]
