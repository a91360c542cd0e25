"""Bodies that no dialect can read: each says so with the same code and names the field, where there is one."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Dialect, Profile
from asgi_llm.dialects.media import is_base64
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.peek import peek, peek_contents
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import ClientError

every_dialect = pytest.mark.parametrize(
    "dialect", [CHAT, MESSAGES, RESPONSES, GEMINI], ids=lambda dialect: dialect.name
)


@every_dialect
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"model":"m","messages":[],"contents":[],"x":01}',
        b'{"model":"\xff"}',
        b'{"model":"m","x":"\xed\xa0\x80"}',
        b'{"x":' + b"[" * 100_000,
        b"[" * 100_000,
        b"[]",
        b"null",
        b"1e400",
        b"9" * 5000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_no_object_of_json(dialect: Dialect, body: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        dialect.decode_request(body)
    assert caught.value.code == "invalid_json"
    assert caught.value.param is None


def refused(dialect: Dialect, body: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        dialect.decode_request(json.dumps(body).encode())
    assert caught.value.status == 400
    assert caught.value.param
    assert caught.value.param in caught.value.message
    return caught.value


def messages(block: Any) -> Any:
    return {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, block]}],
    }


def chat(part: Any) -> Any:
    return {"model": "m", "messages": [{"role": "user", "content": [part]}]}


def responses(part: Any) -> Any:
    return {"model": "m", "input": [{"role": "user", "content": [part]}]}


def gemini(part: Any) -> Any:
    return {"contents": [{"parts": [part]}]}


def base64(data: str, kind: str = "image/png") -> Any:
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (CHAT, chat({"type": "input_audio", "input_audio": {"data": "<>", "format": "wav"}}),
         "messages[0].content[0].input_audio.data"),
        (CHAT, chat({"type": "file", "file": {"file_data": "not base64"}}), "messages[0].content[0].file.file_data"),
        (CHAT, chat({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
         "messages[0].content[0].image_url.url"),
        (MESSAGES, messages(base64("é")), "messages.0.content.1.source.data"),
        (MESSAGES, messages(base64("words")), "messages.0.content.1.source.data"),
        (MESSAGES, messages(base64("")), "messages.0.content.1.source.data"),
        (MESSAGES, messages(base64("aGk=", 'a,"b')), "messages.0.content.1.source.media_type"),
        (MESSAGES, messages({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
         "messages.0.content.1.source.url"),
        (MESSAGES, messages({"type": "tool_result", "tool_use_id": "a", "content": [base64("?")]}),
         "messages.0.content.1.content.0.source.data"),
        (MESSAGES, messages({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "later"}, base64("?")]}),
         "messages.0.content.1.content.1.source.data"),
        (MESSAGES, messages({"type": "document", "source": {"type": "content", "content": [base64("?")]}}),
         "messages.0.content.1.source.content.0.source.data"),
        (RESPONSES, responses({"type": "input_image", "image_url": "data:image/png;base64,é"}),
         "input[0].content[0].image_url"),
        (RESPONSES, responses({"type": "input_image", "image_url": "ftp://a.example/b"}),
         "input[0].content[0].image_url"),
        (RESPONSES, responses({"type": "input_file", "file_data": "not base64"}), "input[0].content[0].file_data"),
        (RESPONSES, responses({"type": "input_file", "file_url": "/etc/passwd"}), "input[0].content[0].file_url"),
        (RESPONSES, responses({"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}),
         "input[0].content[0].input_audio.data"),
        (GEMINI, gemini({"inlineData": {"mimeType": "image/png", "data": "?"}}),
         "contents[0].parts[0].inlineData.data"),
        (GEMINI, gemini({"inlineData": {"mimeType": "a,b", "data": "aGk="}}),
         "contents[0].parts[0].inlineData.mimeType"),
        (GEMINI, gemini({"fileData": {"mimeType": "image/png"}}), "contents[0].parts[0].fileData.fileUri"),
        (GEMINI, gemini({"functionResponse": {"name": "f", "parts": [{"inlineData": {"data": "?"}}]}}),
         "contents[0].parts[0].functionResponse.parts[0].inlineData.data"),
    ],
)  # fmt: skip
def test_media_that_is_none(dialect: Dialect, body: Any, param: str) -> None:
    assert refused(dialect, body).param == param


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (CHAT, chat({"type": "text", "text": "a"}) | {"max_tokens": -1}, "max_tokens"),
        (CHAT, chat({"type": "text", "text": "a"}) | {"max_completion_tokens": -1}, "max_completion_tokens"),
        (MESSAGES, messages({"type": "text", "text": "a"}) | {"max_tokens": -1}, "max_tokens"),
        (CHAT, chat({"type": "text", "text": "a"}) | {"top_p": 10**400}, "top_p"),
        (RESPONSES, {"model": "m", "input": "a", "max_output_tokens": -1}, "max_output_tokens"),
        (GEMINI, gemini({"text": "a"}) | {"generationConfig": {"maxOutputTokens": -1}},
         "generationConfig.maxOutputTokens"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_meant(dialect: Dialect, body: Any, param: str) -> None:
    assert refused(dialect, body).param == param


def test_a_complaint_does_not_repeat_all_that_came() -> None:
    long = "x" * 100_000
    role = {"model": "m", "max_tokens": 9, "messages": [{"role": long, "content": "a"}]}
    kind = messages(
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": {"type": long}}]}
    )
    for dialect, body in (
        (CHAT, role),
        (MESSAGES, role),
        (MESSAGES, kind),
        (RESPONSES, {"model": "m", "input": role["messages"]}),
    ):
        assert len(refused(dialect, body).message) < 1000
    nested = b'{"model":"","x":' + b'{"a":' * 500 + b"1e400" + b"}" * 501
    with pytest.raises(ClientError) as caught:
        peek("chat", nested)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("name", ["a\r\nset-cookie: b", "é", "a,b;warn", "x" * 5000])
def test_a_warning_about_any_field_fits_a_header(name: str) -> None:
    for theirs, us in ((MESSAGES, CHAT), (CHAT, RESPONSES)):
        body = messages({"type": "text", "text": "a"}) | {name: 1}
        encoded = us.encode_request(theirs.decode_request(json.dumps(body).encode()), Profile())
        (warned,) = [warned for warned in encoded.warnings if warned.action == "warn"]
        assert warned.field.isascii()
        assert warned.field.isprintable()
        assert not set(warned.field) & set(",; ")
        assert len(warned.field) <= 100


def test_options_of_a_stream_that_are_not_utf8() -> None:
    body = b'{"model":"m","messages":[],"stream":true,"stream_options":{"\xff":1}}'
    with pytest.raises(ClientError) as caught:
        peek("chat", body)
    assert caught.value.code == "invalid_json"


@pytest.mark.parametrize("said", ["text", ["a"], 1, {"a": 1e300}])
def test_a_search_that_asked_for_odd_things_is_sent_back_as_it_came(said: Any) -> None:
    call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": said}
    body = messages({"type": "text", "text": "b"})
    body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": "And?"}]
    encoded = MESSAGES.encode_request(MESSAGES.decode_request(json.dumps(body).encode()), Profile(provider="anthropic"))
    assert json.loads(encoded.body)["messages"][1]["content"] == [call]


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("aGk=", True), ("aGk", True), ("aGkh", True), ("aGk=\n", True), ("aGkh\r\naGk=\r\n", True), ("a" * 4000, True),
        ("", False), ("\n", False), ("=", False), ("a", False), ("aGkha", False), ("words\n", False),
        ("aGk=aGk=", False), ("aG=", False), ("aGk==", False), ("a-_b", False), ("é" * 4, False),
        ("a" * 200 + "?", False),
    ],
)  # fmt: skip
def test_base64_is_told_by_its_ends_and_its_length(text: str, sound: bool) -> None:
    assert is_base64(text) is sound


@pytest.mark.parametrize(
    ("contents", "kind"),
    [
        (b"null", "null"), (b"false", "a boolean"), (b'"a"', "a text"), (b'"\xff"', "a text"), (b"-1", "a number"),
        (b"1e400", "a number"), (b"9" * 5000, "a number"),
    ],
)  # fmt: skip
def test_contents_that_are_no_list(contents: bytes, kind: str) -> None:
    with pytest.raises(ClientError) as caught:
        peek_contents(b'{"contents":%b}' % contents, "m", stream=False)
    assert caught.value.param == "contents"
    assert caught.value.message == f"contents must be a list, not {kind}"


def test_free_text_under_the_name_of_a_typed_tool_is_a_call_of_free_text() -> None:
    tools = [{"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "apply_patch", "name": "p"}]}]
    call = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "apply_patch", "input": "***"}
    answer = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"}
    body = {"model": "m", "input": [{"role": "user", "content": "a"}, call, answer], "tools": tools}
    request = RESPONSES.decode_request(json.dumps(body).encode())
    written = json.loads(RESPONSES.encode_request(request, Profile(provider="openai", origin=True)).body)["input"]
    assert (written[1]["type"], written[1]["input"]) == ("custom_tool_call", "***")
