"""Errors, both ways."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.chat import CHAT
from asgi_llm.errors import Cause, ClientError, Kind, PolicyError, UpstreamError


def read(status, body, *headers) -> UpstreamError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return CHAT.decode_error(status, list(headers), data)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        (400, {"error": {"message": "bad", "code": "invalid_value"}}, Kind.BAD_REQUEST, "invalid_value", "bad"),
        (
            400,
            {"error": {"message": "m", "code": "context_length_exceeded"}},
            Kind.CONTEXT_LENGTH,
            "context_length_exceeded",
            "m",
        ),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 8"},
            Kind.CONTEXT_LENGTH,
            None,
            None,
        ),
        (400, {"error": "text"}, Kind.BAD_REQUEST, "upstream_error", "text"),
        (
            422,
            {"detail": [{"loc": ["body", "x"], "msg": "missing"}]},
            Kind.UNPROCESSABLE,
            "upstream_error",
            "body.x: missing",
        ),
        (404, {"detail": "Not Found"}, Kind.NOT_FOUND, "upstream_error", "Not Found"),
        (
            404,
            {"error": {"message": "no model x", "code": "model_not_found"}},
            Kind.NOT_FOUND,
            "model_not_found",
            "no model x",
        ),
        (429, [{"error": {"message": "m", "code": 429, "status": "X"}}], Kind.RATE_LIMIT, "rate_limit_exceeded", "m"),
        (429, {"error": {"message": "m", "code": "insufficient_quota"}}, Kind.BILLING, "insufficient_quota", "m"),
        (402, {"error": {"message": "pay"}}, Kind.BILLING, "insufficient_quota", "pay"),
        (503, b"", Kind.OVERLOADED, "server_is_overloaded", "The upstream answered with status 503."),
        (529, b"{}", Kind.OVERLOADED, "server_is_overloaded", None),
        (
            502,
            b"<html><head><title>502 Bad Gateway</title></head><body>x</body></html>",
            Kind.BAD_GATEWAY,
            None,
            "502 Bad Gateway",
        ),
        (500, b"plain words", Kind.SERVER, "upstream_error", "plain words"),
        (
            500,
            {"error": {"message": "see http://10.0.0.1:8000/x and sk-abcdefghij"}},
            Kind.SERVER,
            None,
            "see [removed] and [removed]",
        ),
        (504, b"null", Kind.TIMEOUT, "upstream_timeout", None),
        (418, b"[]", Kind.BAD_REQUEST, "upstream_error", None),
        (301, b"", Kind.BAD_GATEWAY, "upstream_error", None),
    ],
)
def test_upstream_errors_are_read_in_every_shape(status, body, kind, code, message):
    error = read(status, body)
    assert (error.kind, error.cause, error.upstream_status) == (kind, Cause.STATUS, status)
    assert code in (None, error.code)
    assert message in (None, error.message)


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateways_own_credentials_never_look_like_the_callers(status):
    error = read(status, {"error": {"message": "Incorrect API key provided: sk-1234", "code": "invalid_api_key"}})
    assert (error.kind, error.code, error.body) == (Kind.BAD_GATEWAY, "upstream_authentication", None)
    assert "sk-" not in error.message
    assert CHAT.encode_error(error, "r")[0] == 502


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7),
        ([(b"Retry-After-Ms", b"1500"), (b"retry-after", b"7")], 1.5),
        ([(b"retry-after", b"Wed, 21 Oct 2026 07:28:10 GMT"), (b"date", b"Wed, 21 Oct 2026 07:28:00 GMT")], 10),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"-1")], None),
        ([], None),
    ],
)
def test_retry_after(headers, seconds):
    assert read(429, b"", *headers).retry_after == seconds


def test_the_upstreams_own_body_is_kept():
    error = read(400, b'{"error":{}}', (b"content-type", b"application/json"))
    assert (error.body, error.content_type) == (b'{"error":{}}', "application/json")


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (ClientError("m", param="model"), 400, "invalid_request_error", "invalid_request"),
        (
            PolicyError("m", kind=Kind.AUTHENTICATION, code="invalid_api_key"),
            401,
            "invalid_request_error",
            "invalid_api_key",
        ),
        (
            PolicyError("m", kind=Kind.PERMISSION, code="model_not_permitted"),
            403,
            "permission_error",
            "model_not_permitted",
        ),
        (PolicyError("m", kind=Kind.BILLING, code="budget"), 429, "insufficient_quota", "budget"),
        (ClientError("m", kind=Kind.CONTEXT_LENGTH), 400, "invalid_request_error", "context_length_exceeded"),
        (
            UpstreamError("m", cause=Cause.STATUS, kind=Kind.OVERLOADED),
            503,
            "service_unavailable_error",
            "server_is_overloaded",
        ),
        (UpstreamError("m", cause=Cause.STATUS, kind=Kind.RATE_LIMIT), 429, "rate_limit_error", "rate_limit_exceeded"),
        (UpstreamError("m", cause=Cause.STATUS, kind=Kind.BILLING), 429, "insufficient_quota", "insufficient_quota"),
        (UpstreamError("m", cause=Cause.RESET), 502, "server_error", "upstream_error"),
    ],
)
def test_errors_for_callers(error, status, kind, code):
    told_status, body = CHAT.encode_error(error, "req_1")
    assert told_status == status
    assert json.loads(body) == {"error": {"message": "m", "type": kind, "param": error.param, "code": code}}
    assert CHAT.encode_failure(error) == b"data: " + body + b"\n\n"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_status_and_a_type(kind):
    status, body = CHAT.encode_error(PolicyError('a "b"', kind=kind, code="c"), "r")
    assert 400 <= status < 600
    assert json.loads(body)["error"]["message"] == 'a "b"'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "detail", "param", "loc"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.integers(100, 999), json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_any_error_body_is_read(status, body):
    error = read(status, body)
    assert error.message
    CHAT.encode_error(error, "r")
