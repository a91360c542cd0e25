"""Errors in Google's shape, written and read."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.errors import Cause, ClientError, Kind, PolicyError, UpstreamError


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_status_and_its_code_in_the_details(kind: Kind) -> None:
    error = PolicyError("No.", kind=kind, code="some_code", retry_after=1.5)
    status, body = GEMINI.encode_error(error, "req")
    told = json.loads(body)["error"]
    assert told["code"] == status
    assert 400 <= status < 600
    assert told["message"] == "No."
    info, retry, request = told["details"]
    assert (info["reason"], info["metadata"]["error_code"]) == ("SOME_CODE", "some_code")
    assert retry["retryDelay"] == "1.5s"
    assert request["requestId"] == "req"
    read = GEMINI.decode_error(status, [], body)
    assert read.retry_after == 1.5


def test_the_field_at_fault_is_named() -> None:
    _, body = GEMINI.encode_error(ClientError("Wrong.", param="contents"), "")
    assert json.loads(body)["error"]["message"] == "contents: Wrong."


def test_error_is_the_first_member_of_what_ends_a_stream() -> None:
    """Once as an event, once outside of any: Google's Python SDK reads either, the one for JavaScript passes over the
    event and fails over what is none."""
    data = GEMINI.encode_failure(UpstreamError("It broke.", cause=Cause.RESET))
    event, bare, end = data.partition(b"\n\n")[0], *data.partition(b"\n\n")[2].split(b"\n")
    assert event == b"data: " + bare
    assert bare.startswith(b'{"error":{"code":502,')
    assert json.loads(bare)["error"]["message"] == "It broke."
    assert end == b""


def google(code: int, status: str, message: str = "m", *details: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": details}}).encode()


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31.5s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, google(400, "INVALID_ARGUMENT"), Kind.BAD_REQUEST, "upstream_bad_request"),
        (400, google(400, "INVALID_ARGUMENT", LONG), Kind.CONTEXT_LENGTH, "context_length_exceeded"),
        (400, google(400, "INVALID_ARGUMENT", "bad key", BAD_KEY), Kind.BAD_GATEWAY, "upstream_authentication"),
        (401, google(401, "UNAUTHENTICATED"), Kind.BAD_GATEWAY, "upstream_authentication"),
        (403, google(403, "PERMISSION_DENIED"), Kind.BAD_GATEWAY, "upstream_authentication"),
        (404, google(404, "NOT_FOUND"), Kind.NOT_FOUND, "model_not_found"),
        (429, b"[" + google(429, "RESOURCE_EXHAUSTED", "m", RETRY) + b"]", Kind.RATE_LIMIT, "rate_limit_exceeded"),
        (499, google(499, "CANCELLED"), Kind.REQUEST_TIMEOUT, "upstream_error"),
        (500, google(500, "INTERNAL"), Kind.SERVER, "upstream_error"),
        (503, google(503, "UNAVAILABLE"), Kind.OVERLOADED, "server_is_overloaded"),
        (504, google(504, "DEADLINE_EXCEEDED"), Kind.TIMEOUT, "upstream_timeout"),
        (502, b"<html><title>Bad gateway</title></html>", Kind.BAD_GATEWAY, "upstream_error"),
        (400, b'{"error": "just text"}', Kind.BAD_REQUEST, "upstream_bad_request"),
    ],
)
def test_an_upstreams_error(status: int, body: bytes, kind: Kind, code: str) -> None:
    error = GEMINI.decode_error(status, [], body)
    assert (error.kind, error.code, error.upstream_status, error.cause) == (kind, code, status, Cause.STATUS)
    assert error.body == body
    assert error.message


def test_how_long_to_wait_is_read_from_the_body_and_the_header() -> None:
    body = google(429, "RESOURCE_EXHAUSTED", "m", RETRY)
    assert GEMINI.decode_error(429, [], body).retry_after == 31.5
    assert GEMINI.decode_error(429, [(b"retry-after", b"7")], body).retry_after == 7


def test_the_gateways_own_key_is_not_the_callers_business() -> None:
    error = GEMINI.decode_error(400, [], google(400, "INVALID_ARGUMENT", "API key AIza... not valid", BAD_KEY))
    assert "AIza" not in error.message
