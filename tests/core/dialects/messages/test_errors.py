"""Errors as Anthropic prints them, and errors of upstreams in every shape."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.messages.losses import LOSSES
from asgi_llm.errors import AsgiLLMError, Cause, ClientError, Kind, UpstreamError


def error(kind: Kind, message: str = "what happened", code: str = "some_code") -> AsgiLLMError:
    return AsgiLLMError(message, kind=kind, code=code)


@pytest.mark.parametrize(
    ("kind", "status", "word", "caught"),
    [
        (Kind.BAD_REQUEST, 400, "invalid_request_error", anthropic.BadRequestError),
        (Kind.AUTHENTICATION, 401, "authentication_error", anthropic.AuthenticationError),
        (Kind.BILLING, 402, "billing_error", anthropic.APIStatusError),
        (Kind.PERMISSION, 403, "permission_error", anthropic.PermissionDeniedError),
        (Kind.NOT_FOUND, 404, "not_found_error", anthropic.NotFoundError),
        (Kind.CONFLICT, 409, "conflict_error", anthropic.ConflictError),
        (Kind.TOO_LARGE, 413, "request_too_large", anthropic.APIStatusError),
        (Kind.UNPROCESSABLE, 422, "invalid_request_error", anthropic.UnprocessableEntityError),
        (Kind.RATE_LIMIT, 429, "rate_limit_error", anthropic.RateLimitError),
        (Kind.SERVER, 500, "api_error", anthropic.InternalServerError),
        (Kind.BAD_GATEWAY, 502, "api_error", anthropic.InternalServerError),
        (Kind.TIMEOUT, 504, "timeout_error", anthropic.InternalServerError),
        (Kind.OVERLOADED, 529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_our_errors_are_the_sdks_errors(kind: Kind, status: int, word: str, caught: type[Exception]) -> None:
    got, body = MESSAGES.encode_error(error(kind), "req_1")
    assert got == status
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
    sdk = anthropic.Anthropic(api_key="k", max_retries=0, http_client=httpx2.Client(transport=transport))
    with pytest.raises(anthropic.APIStatusError) as raised:
        sdk.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert isinstance(raised.value, caught)
    printed: Any = raised.value.body
    assert printed["error"]["type"] == word
    assert printed["error"]["message"] == "what happened"
    assert printed["error"]["details"]["error_code"] == "some_code"
    assert printed["request_id"] == "req_1"


def test_every_kind_has_an_answer() -> None:
    for kind in Kind:
        status, body = MESSAGES.encode_error(error(kind), "")
        assert 400 <= status < 600
        assert json.loads(body)["type"] == "error"
        assert b"request_id" not in body


def test_an_overflow_begins_as_clients_expect() -> None:
    for message in ("200001 tokens > 200000", "prompt is too long: 1 > 0"):
        _, body = MESSAGES.encode_error(error(Kind.CONTEXT_LENGTH, message), "")
        text = json.loads(body)["error"]["message"]
        assert text.startswith("prompt is too long")
        assert text.lower().count("prompt is too long") == 1


def test_the_field_is_named() -> None:
    _, body = MESSAGES.encode_error(ClientError("Say it otherwise.", param="tools.0"), "")
    assert json.loads(body)["error"]["message"] == "tools.0: Say it otherwise."


def test_text_is_escaped() -> None:
    failure = MESSAGES.encode_failure(error(Kind.SERVER, 'a "quote"\nand a line'))
    name, data, *rest = failure.decode().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["message"] == 'a "quote"\nand a line'
    assert rest == ["", ""]


@pytest.mark.parametrize("cause", list(Cause))
def test_clients_ask_again_after_a_stream_that_broke(cause: Cause) -> None:
    failure = MESSAGES.encode_failure(UpstreamError("It broke.", cause=cause, code="upstream_broke"))
    said = json.loads(failure.decode().split("\n")[1].removeprefix("data: "))["error"]
    broke = cause in (Cause.RESET, Cause.TRUNCATED, Cause.IDLE_TIMEOUT)
    assert said["type"] == ("overloaded_error" if broke else "api_error")
    assert (said["message"], said["details"]["error_code"]) == ("It broke.", "upstream_broke")


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"m"}}', Kind.BAD_REQUEST, "m"),
        (400, b'{"error":{"message":"m","type":"t","code":400}}', Kind.BAD_REQUEST, "m"),
        (400, b'{"error":"m"}', Kind.BAD_REQUEST, "m"),
        (400, b'{"object":"error","message":"m","code":40001}', Kind.BAD_REQUEST, "m"),
        (422, b'{"detail":"m"}', Kind.UNPROCESSABLE, "m"),
        (422, b'{"detail":[{"loc":["x"]}]}', Kind.UNPROCESSABLE, '[{"loc":["x"]}]'),
        (429, b'[{"error":{"message":"m"}}]', Kind.RATE_LIMIT, "m"),
        (529, b'{"error":{"type":"overloaded_error","message":"m"}}', Kind.OVERLOADED, "m"),
        (503, b"m", Kind.OVERLOADED, "m"),
        (500, b'{"error":{"type":"overloaded_error","message":"m"}}', Kind.OVERLOADED, "m"),
        (402, b'{"error":{"type":"billing_error","message":"m"}}', Kind.BILLING, "m"),
        (404, b'{"error":{"message":"m"}}', Kind.NOT_FOUND, "m"),
        (413, b"", Kind.TOO_LARGE, "The upstream answered with status 413."),
        (418, b"m", Kind.BAD_REQUEST, "m"),
        (504, b"<html><head><title>504 Gateway</title></head><body><p>x</body></html>", Kind.TIMEOUT, "504 Gateway"),
        (599, b"<b>bad</b>  <script>evil()</script>\n luck", Kind.BAD_GATEWAY, "bad luck"),
        (400, b'{"error":{"message":"prompt is too long: 2 tokens > 1 maximum"}}', Kind.CONTEXT_LENGTH, None),
        (400, b'{"error":{"message":"x","code":"context_length_exceeded"}}', Kind.CONTEXT_LENGTH, "x"),
        (400, b'{"error":{"message":"This model\'s maximum context length is 5"}}', Kind.CONTEXT_LENGTH, None),
    ],
)
def test_upstream_errors_in_every_shape(status: int, body: bytes, kind: Kind, message: str | None) -> None:
    got = MESSAGES.decode_error(status, [(b"content-type", b"x/y")], body)
    assert got.kind is kind
    assert message is None or got.message == message
    assert (got.cause, got.upstream_status, got.body, got.content_type) == (Cause.STATUS, status, body, "x/y")


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateways_own_credentials_are_not_the_callers(status: int) -> None:
    got = MESSAGES.decode_error(status, [], b'{"error":{"message":"invalid x-api-key sk-secret"}}')
    assert (got.kind, got.code) == (Kind.BAD_GATEWAY, "upstream_authentication")
    assert "sk-secret" not in got.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"9")], 0.25),
        ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT"), (b"date", b"Wed, 21 Oct 2015 07:28:05 GMT")], 0),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"nan")], None),
        ([], None),
    ],
)
def test_retry_after(headers: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert MESSAGES.decode_error(429, headers, b"{}").retry_after == seconds


@given(st.integers(100, 999), st.binary() | st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["error", "type", "message", "code", "detail"]), x)).map(lambda v: json.dumps(v).encode()))  # fmt: skip  # noqa: E501
def test_no_body_breaks_the_reading(status: int, body: bytes) -> None:
    got = MESSAGES.decode_error(status, [], body)
    assert isinstance(got, UpstreamError)
    assert got.message
    MESSAGES.encode_error(got, "r")


def test_every_loss_is_explained() -> None:
    for name, loss in LOSSES.items():
        assert loss.field == name
        assert loss.note.endswith(".")
