"""Errors are printed as OpenAI prints them, and read from every shape that servers answer with."""

import json

import httpx2 as httpx
import openai
import pytest

from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import Cause, ClientError, Kind, PolicyError, UpstreamError

JSON = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("kind", "status", "error_type", "code", "raised"),
    [
        (Kind.BAD_REQUEST, 400, "invalid_request_error", "some_code", openai.BadRequestError),
        (Kind.CONTEXT_LENGTH, 400, "invalid_request_error", "context_length_exceeded", openai.BadRequestError),
        (Kind.AUTHENTICATION, 401, "invalid_request_error", "some_code", openai.AuthenticationError),
        (Kind.PERMISSION, 403, "permission_error", "some_code", openai.PermissionDeniedError),
        (Kind.BILLING, 429, "insufficient_quota", "insufficient_quota", openai.RateLimitError),
        (Kind.NOT_FOUND, 404, "invalid_request_error", "some_code", openai.NotFoundError),
        (Kind.RATE_LIMIT, 429, "rate_limit_error", "some_code", openai.RateLimitError),
        (Kind.OVERLOADED, 503, "service_unavailable_error", "some_code", openai.InternalServerError),
        (Kind.TIMEOUT, 504, "server_error", "some_code", openai.InternalServerError),
        (Kind.BAD_GATEWAY, 502, "server_error", "some_code", openai.InternalServerError),
    ],
)
def test_sdk_raises_its_own_class(kind, status, error_type, code, raised):
    error = PolicyError('says "no"', kind=kind, code="some_code", param="input[0]")
    got, body = RESPONSES.encode_error(error, "req_1")
    assert got == status
    client = openai.OpenAI(
        api_key="k",
        base_url="http://gateway.test/v1",
        max_retries=0,
        http_client=httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(got, content=body))),
    )
    with pytest.raises(raised) as caught:
        client.responses.create(model="m", input="hi")
    assert caught.value.code == code
    assert caught.value.type == error_type
    assert caught.value.param == "input[0]"
    assert 'says "no"' in caught.value.message


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', "m", "c"),
        (b'{"error":{"message":"m","type":"t","code":400}}', "m", "t"),
        (b'{"error":"m"}', "m", "upstream_error"),
        (b'{"object":"error","message":"m","type":"BadRequestError"}', "m", "BadRequestError"),
        (b'{"detail":"m"}', "m", "upstream_error"),
        (b'{"detail":[{"loc":["body"],"msg":"m","type":"x"}]}', "m", "upstream_error"),
        (b'[{"error":{"message":"m"}}]', "m", "upstream_error"),
        (b"m", "m", "upstream_error"),
        (b"<html><body>secret</body></html>", "the upstream answered with status 400", "upstream_error"),
        (b"", "the upstream answered with status 400", "upstream_error"),
        (b"[" * 100000, "[" * 400, "upstream_error"),
        (b"null", "the upstream answered with status 400", "upstream_error"),
    ],
)
def test_every_shape_of_upstream_error_is_read(body, message, code):
    error = RESPONSES.decode_error(400, JSON, body)
    assert error.message == message
    assert error.code == code
    assert error.cause is Cause.STATUS
    assert error.upstream_status == 400
    assert error.body == body


@pytest.mark.parametrize("status", [401, 403])
def test_refused_gateway_credentials_are_not_the_callers_fault(status):
    error = RESPONSES.decode_error(status, JSON, b'{"error":{"message":"bad key sk-123","code":"invalid_api_key"}}')
    assert error.kind is Kind.BAD_GATEWAY
    assert error.code == "upstream_authentication"
    assert "sk-123" not in error.message
    assert RESPONSES.encode_error(error, "")[0] == 502


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error":{"message":"x","code":"context_length_exceeded"}}', Kind.CONTEXT_LENGTH),
        (400, b'{"error":{"message":"This model\'s maximum context length is 10"}}', Kind.CONTEXT_LENGTH),
        (400, b'{"error":{"message":"prompt is too long: 9"}}', Kind.CONTEXT_LENGTH),
        (429, b'{"error":{"message":"x","code":"insufficient_quota"}}', Kind.BILLING),
        (429, b'{"error":{"message":"context window"}}', Kind.RATE_LIMIT),
        (529, b"{}", Kind.OVERLOADED),
        (503, b"{}", Kind.OVERLOADED),
        (404, b"{}", Kind.NOT_FOUND),
        (418, b"{}", Kind.BAD_REQUEST),
        (599, b"{}", Kind.BAD_GATEWAY),
    ],
)
def test_kind_of_upstream_error(status, body, kind):
    assert RESPONSES.decode_error(status, JSON, body).kind is kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"7")], 0.25),
        ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT"), (b"date", b"Wed, 21 Oct 2015 07:28:05 GMT")], 0.0),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"inf")], None),
        ([], None),
    ],
)
def test_retry_after_is_kept(headers, seconds):
    assert RESPONSES.decode_error(429, headers, b"{}").retry_after == seconds


def test_failure_ends_a_stream_in_a_way_that_agents_understand():
    error = UpstreamError("slow down", cause=Cause.STATUS, kind=Kind.RATE_LIMIT, retry_after=2)
    data = RESPONSES.encode_failure(error)
    assert data.startswith(b"event: response.failed\ndata: ")
    assert data.endswith(b"\n\n")
    event = json.loads(data.split(b"data: ")[1])
    assert event["response"]["status"] == "failed"
    assert event["response"]["error"] == {
        "code": "rate_limit_exceeded",
        "message": "slow down. Please try again in 2s.",
    }
    watcher = RESPONSES.watcher()
    watcher.feed(data)
    assert watcher.failure.kind is Kind.RATE_LIMIT


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.CONTEXT_LENGTH, "context_length_exceeded"),
        (Kind.BILLING, "insufficient_quota"),
        (Kind.OVERLOADED, "server_is_overloaded"),
        (Kind.BAD_REQUEST, "invalid_prompt"),
        (Kind.BAD_GATEWAY, "server_error"),
    ],
)
def test_codes_of_failed_streams(kind, code):
    event = json.loads(RESPONSES.encode_failure(ClientError("x", kind=kind)).split(b"data: ")[1])
    assert event["response"]["error"]["code"] == code
