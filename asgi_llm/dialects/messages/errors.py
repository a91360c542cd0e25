"""Errors: ours in Anthropic's shape, an upstream's in any shape.

Spec: Anthropic Messages API, "Errors". The stable code of this package is printed as ``error.details.error_code``,
where Anthropic prints its own. A client treats an overflow of the context by the words "prompt is too long".
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.retry_after import retry_after
from asgi_llm.dialects.sse import frame
from asgi_llm.dialects.wording import line, readable
from asgi_llm.errors import AsgiLLMError, Cause, ClientError, Kind, UpstreamError
from asgi_llm.types import Headers

__all__ = ["decode_error", "encode_error", "encode_failure", "in_band"]

_TYPES: dict[Kind, tuple[int, str]] = {
    Kind.BAD_REQUEST: (400, "invalid_request_error"),
    Kind.CONTEXT_LENGTH: (400, "invalid_request_error"),
    Kind.AUTHENTICATION: (401, "authentication_error"),
    Kind.BILLING: (402, "billing_error"),
    Kind.PERMISSION: (403, "permission_error"),
    Kind.NOT_FOUND: (404, "not_found_error"),
    Kind.METHOD_NOT_ALLOWED: (405, "invalid_request_error"),
    Kind.REQUEST_TIMEOUT: (408, "timeout_error"),
    Kind.CONFLICT: (409, "conflict_error"),
    Kind.TOO_LARGE: (413, "request_too_large"),
    Kind.UNSUPPORTED_MEDIA_TYPE: (415, "invalid_request_error"),
    Kind.UNPROCESSABLE: (422, "invalid_request_error"),
    Kind.RATE_LIMIT: (429, "rate_limit_error"),
    Kind.SERVER: (500, "api_error"),
    Kind.BAD_GATEWAY: (502, "api_error"),
    Kind.TIMEOUT: (504, "timeout_error"),
    Kind.OVERLOADED: (529, "overloaded_error"),
}
_TOO_LONG = "prompt is too long"
_BROKEN = {Cause.RESET, Cause.TRUNCATED, Cause.IDLE_TIMEOUT}
"""Ends of a stream after which a client that had met them itself would have asked again. Of the types of error that
may come inside a stream, this API's own example, overloaded_error, is the one that every client asks again after."""


def encode_error(error: AsgiLLMError, request_id: str) -> tuple[int, bytes]:
    """Status and body."""
    status, _ = _TYPES[error.kind]
    body = _body(error)
    if request_id:
        body["request_id"] = request_id
    return status, msgspec.json.encode(body)


def encode_failure(error: AsgiLLMError) -> bytes:
    """The event that ends a running stream."""
    body = _body(error)
    if isinstance(error, UpstreamError) and error.cause in _BROKEN:
        body["error"]["type"] = "overloaded_error"
    return frame(msgspec.json.encode(body), b"error")


def _body(error: AsgiLLMError) -> dict[str, Any]:
    message = error.message
    if error.kind is Kind.CONTEXT_LENGTH and not message.lower().startswith(_TOO_LONG):
        message = f"{_TOO_LONG}: {message}"
    elif isinstance(error, ClientError) and error.param and not message.startswith(error.param):
        message = f"{error.param}: {message}"
    _, kind = _TYPES[error.kind]
    details = {"error_code": error.code}
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}}


class _Reported(Struct):
    """The error shapes in use: Anthropic's and OpenAI's object, a plain string, vLLM's top level, FastAPI's detail."""

    type: Any = None
    error: Any = None
    message: Any = None
    detail: Any = None
    code: Any = None


_REPORTED = msgspec.json.Decoder(_Reported | list[Raw])
_OBJECT = msgspec.json.Decoder(_Reported)

_KINDS: dict[str, Kind] = {
    "authentication_error": Kind.AUTHENTICATION,
    "billing_error": Kind.BILLING,
    "permission_error": Kind.PERMISSION,
    "not_found_error": Kind.NOT_FOUND,
    "conflict_error": Kind.CONFLICT,
    "request_too_large": Kind.TOO_LARGE,
    "rate_limit_error": Kind.RATE_LIMIT,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "insufficient_quota": Kind.BILLING,
    "overloaded_error": Kind.OVERLOADED,
    "timeout_error": Kind.TIMEOUT,
    "api_error": Kind.SERVER,
    "server_error": Kind.SERVER,
    "internal_error": Kind.SERVER,
    "invalid_request_error": Kind.BAD_REQUEST,
}
_STATUSES: dict[int, Kind] = {kind.status: kind for kind in Kind if kind is not Kind.CONTEXT_LENGTH}
_STATUSES |= {529: Kind.OVERLOADED, 499: Kind.REQUEST_TIMEOUT}
_CODES: dict[Kind, str] = {
    Kind.BAD_REQUEST: "upstream_bad_request",
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.NOT_FOUND: "model_not_found",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
    Kind.BILLING: "insufficient_quota",
    Kind.TIMEOUT: "upstream_timeout",
}
_OVERFLOW = re.compile(
    r"prompt is too long|context[ _](?:length|window|limit|size)|maximum context|too many (?:input )?tokens"
    r"|exceeds? the (?:model'?s? )?(?:maximum )?(?:context|input)|input is too long|longer than the maximum",
    re.IGNORECASE,
)


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """An upstream's error answer, whatever its shape. Never raises.

    That the gateway's own credentials failed must not look to the caller as if theirs had: 401 and 403 become 502.
    """
    message, word = _read(body)
    kind = _STATUSES.get(status) or (Kind.BAD_REQUEST if 400 <= status < 500 else Kind.BAD_GATEWAY)
    if kind is Kind.SERVER and word == "overloaded_error":
        kind = Kind.OVERLOADED
    return _error(kind, word, message, Cause.STATUS, status=status, headers=headers, body=body)


def in_band(body: bytes) -> UpstreamError:
    """An error that came inside an answer with status 200, or as an event of a stream. Never raises."""
    message, word = _read(body)
    return _error(_KINDS.get(word, Kind.BAD_GATEWAY), word, message, Cause.IN_BAND, body=body)


def _error(
    kind: Kind,
    word: str,
    message: str,
    cause: Cause,
    *,
    status: int | None = None,
    headers: Headers | None = None,
    body: bytes,
) -> UpstreamError:
    code = _CODES.get(kind, "upstream_error")
    if kind in (Kind.AUTHENTICATION, Kind.PERMISSION):
        kind, code = Kind.BAD_GATEWAY, "upstream_authentication"
        message = "The upstream refused the gateway's own credentials."
    elif kind in (Kind.BAD_REQUEST, Kind.TOO_LARGE, Kind.UNPROCESSABLE) and (
        _OVERFLOW.search(message) or word == "context_length_exceeded"
    ):
        kind, code = Kind.CONTEXT_LENGTH, "context_length_exceeded"
    return UpstreamError(
        message or f"The upstream answered with status {status}.",
        cause=cause,
        kind=kind,
        code=code,
        retry_after=retry_after(headers or []),
        upstream_status=status,
        body=body,
        content_type=_header(headers or [], b"content-type"),
    )


def _read(body: bytes) -> tuple[str, str]:
    """The message and the error's own word for its type (either may be empty)."""
    try:
        reported = _REPORTED.decode(body)
        if isinstance(reported, list):
            reported = _OBJECT.decode(reported[0]) if reported else _Reported()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return readable(body), ""
    error = reported.error
    if isinstance(error, dict):
        word = error.get("type") or error.get("code") or error.get("status")
        if error.get("code") == "context_length_exceeded":
            word = error["code"]
        return line(error.get("message") or error.get("detail")), word if isinstance(word, str) else ""
    word = reported.type if isinstance(reported.type, str) else reported.code
    message = error if isinstance(error, str) else reported.message or reported.detail
    return line(message), word if isinstance(word, str) else ""


def _header(headers: Headers, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
