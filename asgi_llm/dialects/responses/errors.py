"""Errors as the Responses API prints them: ``{"error": {"message", "type", "param", "code"}}``.

OpenAI API reference, "Error codes". In a running stream an error is the ``response.failed`` event.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_llm.dialects.interface import mint
from asgi_llm.dialects.retry_after import retry_after
from asgi_llm.dialects.wording import shown
from asgi_llm.errors import AsgiLLMError, Cause, Kind, UpstreamError
from asgi_llm.types import Headers

__all__ = [
    "LAST_NUMBER",
    "decode_error",
    "encode_error",
    "encode_failure",
    "failure_from",
    "stream_error",
]

_TYPES = {
    Kind.AUTHENTICATION: (401, "invalid_request_error"),
    Kind.PERMISSION: (403, "permission_error"),
    Kind.BILLING: (429, "insufficient_quota"),
    Kind.RATE_LIMIT: (429, "rate_limit_error"),
    Kind.OVERLOADED: (503, "service_unavailable_error"),
    Kind.SERVER: (500, "server_error"),
    Kind.BAD_GATEWAY: (502, "server_error"),
    Kind.TIMEOUT: (504, "server_error"),
}

_STREAM_CODES = {
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.BILLING: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
    Kind.BAD_REQUEST: "invalid_prompt",
    Kind.UNPROCESSABLE: "invalid_prompt",
}

_CODES = {Kind.CONTEXT_LENGTH: "context_length_exceeded", Kind.BILLING: "insufficient_quota"}

_GENERIC_CODES = {
    Kind.AUTHENTICATION: "invalid_api_key",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
}
"""The API's own words where the error has none but "the upstream failed"."""

_STABLE_CODES = {
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.BILLING: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
    Kind.TIMEOUT: "upstream_timeout",
}
"""One code for what clients of every dialect act upon, whatever the engine calls it."""

_STATUS_KINDS = {
    400: Kind.BAD_REQUEST,
    401: Kind.BAD_GATEWAY,
    402: Kind.BILLING,
    403: Kind.BAD_GATEWAY,
    404: Kind.NOT_FOUND,
    405: Kind.BAD_GATEWAY,
    408: Kind.TIMEOUT,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
    415: Kind.BAD_REQUEST,
    422: Kind.UNPROCESSABLE,
    429: Kind.RATE_LIMIT,
    500: Kind.SERVER,
    502: Kind.BAD_GATEWAY,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}

_CODE_KINDS = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "insufficient_quota": Kind.BILLING,
    "usage_not_included": Kind.BILLING,
    "billing_hard_limit_reached": Kind.BILLING,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "slow_down": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "server_is_overloaded": Kind.OVERLOADED,
    "service_unavailable_error": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "invalid_prompt": Kind.BAD_REQUEST,
    "invalid_request_error": Kind.BAD_REQUEST,
    "invalid_value": Kind.BAD_REQUEST,
    "model_not_found": Kind.NOT_FOUND,
    "server_error": Kind.SERVER,
}

_CONTEXT = re.compile(
    r"prompt is too long|maximum context length|context[ _]length[ _]exceeded|exceeds? the (?:model'?s )?context"
    r"|context window|context size|too many input tokens|input is too long",
    re.IGNORECASE,
)

_CODE_SHAPE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MESSAGE_LIMIT = 400
LAST_NUMBER = 2**31 - 1


def encode_error(error: AsgiLLMError, request_id: str) -> tuple[int, bytes]:
    """(HTTP status, JSON body). The request id has its place in a header of this API, not in the body."""
    status, kind = _TYPES.get(error.kind, (error.kind.status, "invalid_request_error"))
    code = _CODES.get(error.kind, error.code)
    if code == "upstream_error":
        code = _GENERIC_CODES.get(error.kind, code)
    body = {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}
    return status, msgspec.json.encode(body)


def stream_error(error: AsgiLLMError) -> dict[str, str]:
    """The ``error`` member of a failed response. Its code decides whether a coding agent tries again."""
    code = _STREAM_CODES.get(error.kind, "server_error")
    message = error.message
    if error.kind is Kind.RATE_LIMIT and error.retry_after is not None and "try again in" not in message:
        # Codex has no header to look at here and reads the delay from the text.
        message = f"{message.rstrip('. ')}. Please try again in {max(error.retry_after, 0.0):g}s."
    return {"code": code, "message": message}


def encode_failure(
    error: AsgiLLMError, *, known_id: str = "", created: int | None = None, model: str = "", number: int = LAST_NUMBER
) -> bytes:
    """The event that ends a stream which passed through unchanged so far.

    Its response is a bare one, since nobody kept the real one; ``known_id``, ``created`` and ``model`` are the
    real one's where they were seen. ``number`` is the event's; without it one that is higher than any before it.
    """
    response = {
        "id": known_id or mint("resp_"),
        "object": "response",
        "created_at": int(time.time()) if created is None else created,
        "status": "failed",
        "error": stream_error(error),
        "incomplete_details": None,
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return b"event: response.failed\ndata: %b\n\n" % msgspec.json.encode(event)


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """An upstream's error answer -> error. Reads every shape that servers of this API are known to answer with."""
    message, code, param = _read(body)
    kind = _kind(status, code, message)
    if status in (401, 403):
        # The gateway's own credentials failed; told as it is, a client would throw its login away.
        code, param = "upstream_authentication", None
        message = "the upstream refused the gateway's credentials"
    return UpstreamError(
        message or f"the upstream answered with status {status}",
        cause=Cause.STATUS,
        kind=kind,
        code=_stable(kind, code),
        param=param,
        retry_after=retry_after(headers),
        upstream_status=status,
        body=body,
        content_type=_header(headers, b"content-type"),
    )


def failure_from(error: Any) -> UpstreamError:
    """The error that an upstream reported inside a 200 answer; ``error`` is its ``error`` object, text or None."""
    message, code, param = _members(error) if isinstance(error, Mapping) else (_text(error), None, None)
    kind = _kind(None, code, message)
    return UpstreamError(
        message or "the upstream reported a failure without saying why",
        cause=Cause.IN_BAND,
        kind=kind,
        code=_stable(kind, code),
        param=param,
    )


def _kind(status: int | None, code: str | None, message: str) -> Kind:
    if status in (401, 403):
        return Kind.BAD_GATEWAY
    named = _CODE_KINDS.get(code or "")
    vague = status is None or status in (400, 402, 413, 422)
    if named is Kind.CONTEXT_LENGTH or (vague and _CONTEXT.search(message)):
        return Kind.CONTEXT_LENGTH
    if status is None:
        return named or Kind.BAD_GATEWAY
    if status in (402, 429) and named is Kind.BILLING:
        return Kind.BILLING
    return _STATUS_KINDS.get(status, Kind.BAD_REQUEST if 400 <= status < 500 else Kind.BAD_GATEWAY)


def _stable(kind: Kind, said: str | None) -> str:
    return _STABLE_CODES.get(kind) or said or "upstream_error"


def _read(body: bytes) -> tuple[str, str | None, str | None]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _plain(body), None, None
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return _text(value), None, None
    error = value.get("error")
    if isinstance(error, dict):
        return _members(error)
    if isinstance(error, str):
        return _text(error), _code(value.get("code")), None
    return _members(value)


def _members(error: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    message = _text(error.get("message") or error.get("detail"))
    param = error.get("param")
    code = _code(error.get("code")) or _code(error.get("type"))
    return message, code, param if isinstance(param, str) else None


def _code(value: Any) -> str | None:
    # OpenRouter and others send the HTTP status as code, which names nothing.
    return value if isinstance(value, str) and not value.isdigit() and _CODE_SHAPE.fullmatch(value) else None


def _text(value: Any) -> str:
    match value:
        case str():
            return shown(value)[:4000]
        case list():
            # FastAPI's validation errors: a list of {loc, msg, type}.
            found = [entry["msg"] for entry in value if isinstance(entry, dict) and isinstance(entry.get("msg"), str)]
            return shown("; ".join(found))[:_MESSAGE_LIMIT]
        case _:
            return ""


def _plain(body: bytes) -> str:
    text = body[:2000].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        return ""
    return shown(" ".join(text.split()))[:_MESSAGE_LIMIT]


def _header(headers: Headers, name: bytes) -> str | None:
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return None
