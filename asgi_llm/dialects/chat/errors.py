"""Errors as Chat Completions says them: ``{"error": {"message", "type", "param", "code"}}`` (OpenAI, "Error codes").

Reading is tolerant, since compatible servers and the proxies before them answer in many shapes. Nothing here lets an
upstream's refusal of the gateway's own credentials look like a refusal of the caller's.
"""

import re
from typing import Any

import msgspec

from asgi_llm.dialects.retry_after import retry_after
from asgi_llm.dialects.sse import frame
from asgi_llm.dialects.wording import shown
from asgi_llm.errors import AsgiLLMError, Cause, Kind, UpstreamError
from asgi_llm.types import Headers

__all__ = ["content_error", "decode_error", "encode_error", "encode_failure", "in_band_error"]

_LIMIT = 500
"""Characters of an upstream's own words that are shown."""

_OUT: dict[Kind, tuple[int, str, str | None]] = {
    Kind.BAD_REQUEST: (400, "invalid_request_error", None),
    Kind.CONTEXT_LENGTH: (400, "invalid_request_error", "context_length_exceeded"),
    Kind.AUTHENTICATION: (401, "invalid_request_error", None),
    Kind.PERMISSION: (403, "permission_error", None),
    Kind.BILLING: (429, "insufficient_quota", None),
    Kind.NOT_FOUND: (404, "invalid_request_error", None),
    Kind.METHOD_NOT_ALLOWED: (405, "invalid_request_error", None),
    Kind.REQUEST_TIMEOUT: (408, "timeout_error", None),
    Kind.CONFLICT: (409, "invalid_request_error", None),
    Kind.TOO_LARGE: (413, "invalid_request_error", None),
    Kind.UNSUPPORTED_MEDIA_TYPE: (415, "invalid_request_error", None),
    Kind.UNPROCESSABLE: (422, "invalid_request_error", None),
    Kind.RATE_LIMIT: (429, "rate_limit_error", None),
    Kind.OVERLOADED: (503, "service_unavailable_error", None),
    Kind.TIMEOUT: (504, "server_error", None),
    Kind.SERVER: (500, "server_error", None),
    Kind.BAD_GATEWAY: (502, "server_error", None),
}
"""Status and type for each kind, and the code where clients go by one that is not ours."""

_GENERIC_CODES = {
    Kind.AUTHENTICATION: "invalid_api_key",
    Kind.BILLING: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
}
"""The dialect's own words where the error has none but "the upstream failed"."""

_CODES = {
    Kind.BILLING: "insufficient_quota",
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.OVERLOADED: "server_is_overloaded",
    Kind.TIMEOUT: "upstream_timeout",
}
"""One code for what clients of every dialect act upon, whatever the server calls it."""

_IN: dict[int, Kind] = {
    401: Kind.BAD_GATEWAY,
    403: Kind.BAD_GATEWAY,
    402: Kind.BILLING,
    404: Kind.NOT_FOUND,
    405: Kind.BAD_GATEWAY,
    407: Kind.BAD_GATEWAY,
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

_BASE_STATUS = {1000: 500, 1001: 504, 1002: 429, 1004: 401, 1008: 402, 1024: 500, 1026: 400, 1039: 429, 2013: 400}
"""MiniMax's ``base_resp.status_code``, and the statuses that say the same ("Error codes")."""

_CONTEXT = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum (?:context|model) length|prompt is too long"
    r"|too many (?:input )?tokens|input (?:is|length) .{0,40}too long|exceed\w* .{0,40}max_model_len"
    r"|reduce the length of the (?:messages|prompt)",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|billing|exceeded your current quota", re.IGNORECASE
)
_OVERLOAD = re.compile(r"overloaded|over capacity|insufficient_system_resource", re.IGNORECASE)
_MARKUP = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")


def encode_error(error: AsgiLLMError, request_id: str) -> tuple[int, bytes]:
    """Status and body for the caller. The request id has no place in this dialect's body; it goes in a header."""
    return _OUT[error.kind][0], _body(error)


def encode_failure(error: AsgiLLMError) -> bytes:
    """The chunk that ends a running stream with an error. No ``[DONE]`` follows: it would look like success."""
    return frame(_body(error))


def _body(error: AsgiLLMError) -> bytes:
    _, kind, code = _OUT[error.kind]
    if code is None:
        code = _GENERIC_CODES.get(error.kind, error.code) if error.code == "upstream_error" else error.code
    told = {"message": error.message, "type": kind, "param": error.param, "code": code}
    return msgspec.json.encode({"error": told})


def decode_error(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """An upstream's error answer as an error. Never raises, whatever the body is."""
    told = _read(body)
    content_type = _header(headers, b"content-type")
    kind = _kind(status, told)
    refused = status in (401, 403, 407)
    own = told.message or f"The upstream answered with status {status}."
    return UpstreamError(
        "The upstream refused the gateway's credentials." if refused else own,
        cause=Cause.STATUS,
        kind=kind,
        code="upstream_authentication" if refused else _code(kind, told),
        param=None if refused else told.param,
        retry_after=retry_after(headers),
        upstream_status=status,
        body=None if refused else body,
        content_type=content_type,
    )


def in_band_error(body: bytes) -> UpstreamError:
    """The error that an upstream reported inside a 200 answer or a stream."""
    told = _read(body)
    status = told.status
    kind = _kind(status, told) if status is not None else _guess(told)
    refused = status in (401, 403)
    return UpstreamError(
        "The upstream refused the gateway's credentials." if refused else told.message or "The upstream failed.",
        cause=Cause.IN_BAND,
        kind=kind,
        code="upstream_authentication" if refused else _code(kind, told),
        upstream_status=status,
    )


def content_error(what: str) -> UpstreamError:
    """The upstream's answer is not what this dialect says it must be."""
    return UpstreamError(what, cause=Cause.CONTENT, code="upstream_invalid_answer")


class _Told(msgspec.Struct):
    """What could be read of an error body."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    status: int | None = None


def _read(body: bytes) -> _Told:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Told(message=_plain(body[:20000].decode("utf-8", "replace")))
    while isinstance(said, list) and said:
        said = said[0]
    if isinstance(said, str):
        return _Told(message=_plain(said))
    return _read_object(said) if isinstance(said, dict) else _Told()


def _read_object(said: dict[str, Any]) -> _Told:
    inner = said.get("error")
    if not inner and isinstance(base := said.get("base_resp"), dict):
        code = base.get("status_code")
        status = _BASE_STATUS.get(code) if isinstance(code, int) else None
        return _Told(message=_plain(_string(base.get("status_msg"))), status=status)
    if isinstance(inner, str) and inner:
        return _Told(message=_plain(_string(said.get("message")) or inner), code=_string(said.get("code")))
    source = inner if isinstance(inner, dict) else said
    code = source.get("code")
    number = code if isinstance(code, int) and not isinstance(code, bool) else None
    if isinstance(code, str) and code.isascii() and code.isdigit():
        number = int(code[:4])
    return _Told(
        message=_plain(_message(source)),
        type=_string(source.get("type")) or _string(source.get("status")),
        code=code if isinstance(code, str) and number is None else "",
        param=_string(source.get("param")) or None,
        status=number if number is not None and 400 <= number < 600 else None,
    )


def _message(source: dict[str, Any]) -> str:
    for name in ("message", "detail", "msg", "error_description", "title"):
        value = source.get(name)
        if isinstance(value, str) and value:
            return value
        if text := _invalid(value):
            return text
        if isinstance(value, dict | list) and value and (text := _nested(value)):
            return text
    return ""


def _nested(value: object) -> str:
    if isinstance(value, dict):
        found = next((found for key in ("message", "error", "msg") if (found := _string(value.get(key)))), "")
        return found or _invalid(value.get("detail"))
    return ""


def _invalid(value: object) -> str:
    """The first of FastAPI's validation errors: ``[{"loc": ["body", "messages"], "msg": "..."}]``."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return ""
    where = value[0].get("loc")
    place = ".".join(str(step) for step in where) if isinstance(where, list) else ""
    return f"{place}: {_string(value[0].get('msg'))}".removeprefix(": ")


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _plain(text: str) -> str:
    """One short line without markup, addresses and keys."""
    if "<" in text and (text.lstrip()[:1] == "<" or "</" in text):
        title = _TITLE.search(text)
        text = title[1] if title else _MARKUP.sub(" ", text)
    text = _SPACE.sub(" ", shown(text)).strip()
    return text if len(text) <= _LIMIT else f"{text[:_LIMIT]}..."


def _kind(status: int, told: _Told) -> Kind:
    if status in (400, 413, 422, 500) and _is_context(told):
        return Kind.CONTEXT_LENGTH
    if status == 429 and (told.code == "insufficient_quota" or told.type == "insufficient_quota"):
        return Kind.BILLING
    if status in _IN:
        return _IN[status]
    return Kind.BAD_REQUEST if 400 <= status < 500 else Kind.SERVER if 500 <= status < 600 else Kind.BAD_GATEWAY


def _guess(told: _Told) -> Kind:
    """The kind of an error without status, by its words."""
    words = f"{told.type} {told.code} {told.message}"
    if _is_context(told):
        return Kind.CONTEXT_LENGTH
    if "rate_limit" in words:
        return Kind.RATE_LIMIT
    if _QUOTA.search(words):
        return Kind.BILLING
    if _OVERLOAD.search(words):
        return Kind.OVERLOADED
    if "invalid_request" in words:
        return Kind.BAD_REQUEST
    return Kind.BAD_GATEWAY


def _is_context(told: _Told) -> bool:
    return told.code == "context_length_exceeded" or _CONTEXT.search(f"{told.code} {told.message}") is not None


def _code(kind: Kind, told: _Told) -> str:
    if kind is Kind.CONTEXT_LENGTH:
        return "context_length_exceeded"
    if kind in (Kind.BAD_REQUEST, Kind.NOT_FOUND, Kind.UNPROCESSABLE) and re.fullmatch(
        r"[a-z][a-z0-9_]{2,63}", told.code
    ):
        return told.code
    if kind is Kind.NOT_FOUND and "model" in told.message.lower():
        return "model_not_found"
    return _CODES.get(kind, "upstream_error")


def _header(headers: Headers, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)
