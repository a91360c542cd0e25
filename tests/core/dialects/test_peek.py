"""What routing reads of a body, and what is said about one that cannot be read."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.peek import Envelope, peek
from asgi_llm.errors import ClientError, Kind
from asgi_llm.neutral.request import DialectName

DIALECTS: list[DialectName] = ["chat", "messages", "responses"]
TURNS = {"chat": "messages", "messages": "messages", "responses": "input"}


def refused(dialect: DialectName, body: bytes) -> ClientError:
    with pytest.raises(ClientError) as caught:
        peek(dialect, body)
    assert caught.value.kind is Kind.BAD_REQUEST
    return caught.value


def attempt(dialect: DialectName, body: bytes) -> Envelope | ClientError:
    try:
        return peek(dialect, body)
    except ClientError as error:
        return error


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("member", "stream"),
    [(b"", False), (b'"stream":true,', True), (b'"stream":false,', False), (b'"stream":null,', False)],
)
def test_model_and_stream_of_every_dialect(dialect: DialectName, member: bytes, stream: bool) -> None:
    body = b'{%b"model":"gpt-5","%b":[]}' % (member, TURNS[dialect].encode())
    assert peek(dialect, body) == Envelope("gpt-5", stream, plain=dialect == "chat")


@pytest.mark.parametrize(
    ("options", "include_usage"),
    [
        (b'{"include_usage":true}', True),
        (b'{"include_usage": false}', False),
        (b'{"include_usage":null,"x":[1]}', False),
        (b"{}", False),
        (b"null", False),
    ],
)
def test_a_chat_callers_wish_for_usage_and_the_bytes_it_stands_in(options: bytes, include_usage: bool) -> None:
    found = peek("chat", b'{"model":"m","messages":[],"stream":true,"stream_options": %b }' % options)
    assert found == Envelope("m", True, include_usage, options)


@pytest.mark.parametrize("body", [b'{"model":"m"}', b'{"model":"m","input":null}', b'{"model":"m","input":"Hello"}'])
def test_a_response_may_have_a_text_or_nothing_as_its_input(body: bytes) -> None:
    assert peek("responses", body).model == "m"


@pytest.mark.parametrize(
    "body",
    [
        rb'{"mod\u0065l":"m","messages":[]}',
        b'\n{ "messages" : [ {"model": "other"} ] , "model"\t:\t"m" }\n',
        b'{"metadata":{"model":"other"},"model":"m","messages":[]}',
        b'{"x\\"model":"other","model":"m","messages":[]}',
        b'{"a":1e400,"b":123456789012345678901234567890,"model":"m","messages":[]}',
    ],
)
def test_the_model_is_the_top_level_one_however_it_is_written(body: bytes) -> None:
    assert peek("chat", body).model == "m"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (b"null", "model is missing; the name of a model is expected"),
        (b'""', "model is empty; the name of a model is expected"),
        (b'" \\n"', "model is empty; the name of a model is expected"),
        (b"3", "model is a number; the name of a model is expected"),
        (b"true", "model is a boolean; the name of a model is expected"),
        (b"[]", "model is a list; the name of a model is expected"),
        (b"{}", "model is an object; the name of a model is expected"),
    ],
)
def test_a_model_that_is_no_name(dialect: DialectName, model: bytes, said: str) -> None:
    error = refused(dialect, b'{"model":%b,"%b":[]}' % (model, TURNS[dialect].encode()))
    assert (error.message, error.code, error.param) == (said, "model_required", "model")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_model_at_all(dialect: DialectName) -> None:
    assert refused(dialect, b"{}").code == "model_required"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b","messages":[]}',
        b'{"model":"a","messages":[],"model":"a"}',
        rb'{"model":"a","mod\u0065l":"b","messages":[]}',
    ],
)
def test_two_models_are_refused_for_gateway_and_upstream_might_read_different_ones(body: bytes) -> None:
    error = refused("chat", body)
    assert (error.message, error.param) == ("model occurs more than once in the body", "model")


@pytest.mark.parametrize("turns", [b'"input":"hi"', b'"input":[]', b'"input":null', b'"x":1'])
def test_two_models_are_told_apart_from_a_bad_input(turns: bytes) -> None:
    assert refused("responses", b'{"model":"a",%b,"model":"b"}' % turns).param == "model"


@pytest.mark.parametrize(
    ("dialect", "body", "param", "said"),
    [
        ("chat", b'{"model":"m"}', "messages", "messages must be a list, and is missing"),
        ("chat", b'{"model":"m","messages":"hi"}', "messages", "messages must be a list, not a text"),
        ("messages", b'{"model":"m","messages":null}', "messages", "messages must be a list, not null"),
        ("messages", b'{"model":"m","messages":{}}', "messages", "messages must be a list, not an object"),
        ("responses", b'{"model":"m","input":3}', "input", "input must be a list or a text, not a number"),
        ("responses", b'{"model":"m","input":{}}', "input", "input must be a list or a text, not an object"),
        ("chat", b'{"model":"m","messages":[],"stream":1}', "stream", "stream must be true or false, not a number"),
        ("chat", b'{"model":"m","messages":[],"stream":"true"}', "stream", "stream must be true or false, not a text"),
        (
            "chat",
            b'{"model":"m","messages":[],"stream_options":[]}',
            "stream_options",
            "stream_options must be an object, not a list",
        ),
        (
            "chat",
            b'{"model":"m","messages":[],"stream_options":{"include_usage":1}}',
            "stream_options.include_usage",
            "stream_options.include_usage must be true or false",
        ),
    ],
)
def test_a_member_of_the_wrong_type_is_named(dialect: DialectName, body: bytes, param: str, said: str) -> None:
    error = refused(dialect, body)
    assert (error.param, error.message) == (param, said)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the request has no body; a JSON object is expected"),
        (b" \r\n", "the request has no body; a JSON object is expected"),
        (b"[]", "the body must be a JSON object, not a list"),
        (b"null", "the body must be a JSON object, not null"),
        (b'"text"', "the body must be a JSON object, not a text"),
        (b"true", "the body must be a JSON object, not a boolean"),
        (b"model=gpt-5&stream=true", "the body is not JSON: "),
        (b'{"model":"m"', "the body is not JSON: "),
        (b'{"model":"m"}}', "the body is not JSON: "),
        (b"{'model':'m'}", "the body is not JSON: "),
        (b'{"model":"\\ud800"}', "the body is not JSON: "),
        (b'{"model":"\xff"}', "the body is not UTF-8"),
        (b'{"model":' + b"[" * 100_000, "the body is nested too deeply"),
        (b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is nested too deeply"),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else "",
)
def test_what_is_no_json_object(dialect: DialectName, body: bytes, said: str) -> None:
    error = refused(dialect, body)
    assert error.message.startswith(said)
    assert error.code == "invalid_json"


NAMES = st.sampled_from(["model", "stream", "messages", "input", "stream_options", "include_usage"]) | st.text(
    max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(DIALECTS), st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_object_is_read_as_it_says_or_refused_by_name(dialect: DialectName, value: dict[str, Any]) -> None:
    found = attempt(dialect, json.dumps(value).encode())
    if isinstance(found, ClientError):
        assert (found.param or "").partition(".")[0] in {"model", "stream", "stream_options", TURNS[dialect]}
        return
    assert found.model == value["model"]
    assert found.stream is bool(value.get("stream"))
    if found.stream_options:
        assert msgspec.json.decode(found.stream_options) == value["stream_options"]


@given(
    st.sampled_from(DIALECTS), st.binary(max_size=80) | st.text('{}[]":,\\ modelstru0123', max_size=80).map(str.encode)
)
def test_any_bytes_are_refused_politely(dialect: DialectName, body: bytes) -> None:
    found = attempt(dialect, body)
    assert found.status == 400 if isinstance(found, ClientError) else found.model


def test_a_refused_body_leaves_nothing_behind_for_the_next() -> None:
    refused("chat", b'{"model":"a","model":"b","messages":[]}')
    refused("chat", b'{"model":"a","messages":[')
    assert peek("chat", b'{"model":"c","messages":[]}').model == "c"
