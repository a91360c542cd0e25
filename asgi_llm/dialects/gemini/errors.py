"""Errors: ours in Google's shape, an upstream's in any shape.

Spec: Google Cloud API Design Guide, "Errors" (``google.rpc.Status``, ``ErrorInfo``, ``RetryInfo``). The stable code of
this package is printed as the reason of an ``ErrorInfo``.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.dialects.retry_after import retry_after, seconds
from asgi_llm.dialects.sse import frame
from asgi_llm.dialects.wording import line, readable
from asgi_llm.errors import AsgiLLMError, Cause, ClientError, Kind, UpstreamError
from asgi_llm.types import Headers

__all__ = ["content_error", "decode_error", "encode_error", "encode_failure", "failure_body", "in_band"]

_STATUSES: dict[Kind, tuple[int, str]] = {
    Kind.BAD_REQUEST: (400, "INVALID_ARGUMENT"),
    Kind.CONTEXT_LENGTH: (400, "INVALID_ARGUMENT"),
    Kind.AUTHENTICATION: (401, "UNAUTHENTICATED"),
    Kind.BILLING: (429, "RESOURCE_EXHAUSTED"),
    Kind.PERMISSION: (403, "PERMISSION_DENIED"),
    Kind.NOT_FOUND: (404, "NOT_FOUND"),
    Kind.METHOD_NOT_ALLOWED: (405, "UNIMPLEMENTED"),
    Kind.REQUEST_TIMEOUT: (408, "DEADLINE_EXCEEDED"),
    Kind.CONFLICT: (409, "ABORTED"),
    Kind.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    Kind.UNSUPPORTED_MEDIA_TYPE: (415, "INVALID_ARGUMENT"),
    Kind.UNPROCESSABLE: (422, "INVALID_ARGUMENT"),
    Kind.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED"),
    Kind.SERVER: (500, "INTERNAL"),
    Kind.BAD_GATEWAY: (502, "UNAVAILABLE"),
    Kind.OVERLOADED: (503, "UNAVAILABLE"),
    Kind.TIMEOUT: (504, "DEADLINE_EXCEEDED"),
}
_TYPE = "type.googleapis.com/google.rpc."


def encode_error(error: AsgiLLMError, request_id: str) -> tuple[int, bytes]:
    """Status and body."""
    status, _ = _STATUSES[error.kind]
    return status, failure_body(error, request_id)


def encode_failure(error: AsgiLLMError) -> bytes:
    """What ends a running stream: an event, and its JSON once more outside of any.

    Google's JavaScript SDK takes an event that holds an error for an empty piece and a stream that ends there for a
    whole one; what stands outside of events is where it notices. Parsers of events pass over it.
    """
    body = failure_body(error)
    return frame(body) + body + b"\n"


def failure_body(error: AsgiLLMError, request_id: str = "") -> bytes:
    """The error as JSON. ``error`` is its first member, by which clients know it in a stream."""
    status, word = _STATUSES[error.kind]
    message = error.message
    if isinstance(error, ClientError) and error.param and not message.startswith(error.param):
        message = f"{error.param}: {message}"
    info: dict[str, Any] = {"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper(), "domain": "asgi-llm"}
    info["metadata"] = {"error_code": error.code, **({"request_id": request_id} if request_id else {})}
    details = [info]
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{max(error.retry_after, 0):.9g}s"})
    if request_id:
        details.append({"@type": f"{_TYPE}RequestInfo", "requestId": request_id})
    return msgspec.json.encode({"error": {"code": status, "message": message, "status": word, "details": details}})


class _Reported(Struct):
    """The error shapes in use: Google's object, OpenAI's, a plain string, FastAPI's detail."""

    error: Any = None
    message: Any = None
    detail: Any = None


_LIST = msgspec.json.Decoder(list[Raw])
_OBJECT = msgspec.json.Decoder(_Reported)

_KINDS: dict[str, Kind] = {
    "INVALID_ARGUMENT": Kind.BAD_REQUEST,
    "FAILED_PRECONDITION": Kind.BAD_REQUEST,
    "OUT_OF_RANGE": Kind.BAD_REQUEST,
    "UNAUTHENTICATED": Kind.AUTHENTICATION,
    "PERMISSION_DENIED": Kind.PERMISSION,
    "NOT_FOUND": Kind.NOT_FOUND,
    "ALREADY_EXISTS": Kind.CONFLICT,
    "ABORTED": Kind.CONFLICT,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMIT,
    "CANCELLED": Kind.REQUEST_TIMEOUT,
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "UNIMPLEMENTED": Kind.BAD_REQUEST,
    "INTERNAL": Kind.SERVER,
    "UNKNOWN": Kind.SERVER,
    "UNAVAILABLE": Kind.OVERLOADED,
}
_BY_STATUS: dict[int, Kind] = {kind.status: kind for kind in Kind if kind is not Kind.CONTEXT_LENGTH}
_BY_STATUS |= {499: Kind.REQUEST_TIMEOUT, 529: Kind.OVERLOADED}
_CODES: dict[Kind, str] = {
    Kind.BAD_REQUEST: "upstream_bad_request",
    Kind.NOT_FOUND: "model_not_found",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
    Kind.BILLING: "insufficient_quota",
    Kind.TIMEOUT: "upstream_timeout",
}
_BAD_KEY = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})
_OVERFLOW = re.compile(
    r"(?:input )?token count.{0,80}exceeds|exceeds the maximum number of (?:input )?tokens"
    r"|context[ _](?:length|window|limit)|prompt is too long|input is too long",
    re.IGNORECASE,
)


def content_error(message: str) -> UpstreamError:
    """The upstream's answer is not what this dialect says it must be."""
    return UpstreamError(message, cause=Cause.CONTENT, code="upstream_invalid_answer")


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """An upstream's error answer, whatever its shape. Never raises.

    That the gateway's own credentials failed must not look to the caller as if theirs had: they become 502.
    """
    said = _read(body)
    kind = _BY_STATUS.get(status) or (Kind.BAD_REQUEST if 400 <= status < 500 else Kind.BAD_GATEWAY)
    return _error(kind, said, Cause.STATUS, status=status, headers=headers, body=body)


def in_band(body: bytes) -> UpstreamError:
    """An error that came inside an answer with status 200, or as an event of a stream. Never raises."""
    said = _read(body)
    kind = _KINDS.get(said.word) or _BY_STATUS.get(said.code or 0, Kind.BAD_GATEWAY)
    return _error(kind, said, Cause.IN_BAND, body=body)


class _Said(Struct):
    """What an error says of itself, as far as it can be read."""

    message: str = ""
    word: str = ""
    code: int | None = None
    reasons: frozenset[str] = frozenset()
    retry_after: float | None = None


def _error(
    kind: Kind, said: _Said, cause: Cause, *, status: int | None = None, headers: Headers | None = None, body: bytes
) -> UpstreamError:
    message, code = said.message, _CODES.get(kind, "upstream_error")
    if kind in (Kind.AUTHENTICATION, Kind.PERMISSION) or said.reasons & _BAD_KEY:
        kind, code = Kind.BAD_GATEWAY, "upstream_authentication"
        message = "The upstream refused the gateway's own credentials."
    elif kind in (Kind.BAD_REQUEST, Kind.TOO_LARGE, Kind.UNPROCESSABLE) and _OVERFLOW.search(message):
        kind, code = Kind.CONTEXT_LENGTH, "context_length_exceeded"
    wait = retry_after(headers or [])
    return UpstreamError(
        message or f"The upstream answered with status {status or said.code}.",
        cause=cause,
        kind=kind,
        code=code,
        retry_after=said.retry_after if wait is None else wait,
        upstream_status=status,
        body=body,
        content_type=_header(headers or [], b"content-type"),
    )


def _read(body: bytes) -> _Said:
    """Never raises. Google wraps errors of streams without SSE in a list of one."""
    try:
        if body.lstrip()[:1] == b"[":
            entries = _LIST.decode(body)
            reported = _OBJECT.decode(entries[-1]) if entries else _Reported()
        else:
            reported = _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said(readable(body))
    error = reported.error
    if not isinstance(error, dict):
        return _Said(line(error if isinstance(error, str) else reported.message or reported.detail))
    word, code = error.get("status") or error.get("type"), error.get("code")
    details = [entry for entry in _list(error.get("details")) if isinstance(entry, dict)]
    reasons = (entry.get("reason") for entry in details)
    return _Said(
        line(error.get("message")),
        word if isinstance(word, str) else "",
        code if type(code) is int else None,
        frozenset(reason for reason in reasons if isinstance(reason, str)),
        next((wait for entry in details if (wait := _delay(entry.get("retryDelay"))) is not None), None),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _delay(value: Any) -> float | None:
    """Seconds of a protobuf duration: ``31s``, ``0.5s``, or an object of seconds and nanos."""
    if isinstance(value, dict):
        value = f"{value.get('seconds', 0)}s"
    return seconds(value.removesuffix("s")) if isinstance(value, str) else None


def _header(headers: Headers, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
