"""Tells the caller that it did not work, in its own dialect: with a status, or in-band once the status is out."""

from math import ceil

import msgspec

from asgi_llm.dialects.interface import Dialect
from asgi_llm.errors import AsgiLLMError, ClientError, Kind, PolicyError, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.request import DialectName
from asgi_llm.quotas.book import QuotaError
from asgi_llm.quotas.headers import PREFIXES
from asgi_llm.types import Headers

from .mask import masked
from .route_header import tell_route

__all__ = ["in_form", "problem", "refuse"]


async def refuse(exchange: Exchange, error: AsgiLLMError, caller: Caller, more: Headers | None = None) -> None:
    """Ends the exchange with ``error``; ``more`` are headers that go with it."""
    if isinstance(error, UpstreamError):
        error = masked(exchange, error)
    exchange.error_code = error.code
    if caller.started:
        await caller.finish(in_form(exchange.dialect, exchange.dialect.encode_failure(error)))
        return
    status, content_type, body = _render(exchange, error, caller)
    headers: Headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-llm-request-id", exchange.id.encode("ascii")),
        (b"x-llm-error-code", error.code.encode("ascii", "replace")),
        *(more or ()),
    ]
    headers += _when_again(exchange, error)
    headers += _from_upstream(exchange, error)
    if exchange.plan is not None and exchange.plan.tells:
        headers.append((b"x-llm-route", tell_route(exchange)))
    if isinstance(error, QuotaError):
        headers += error.headers(exchange.dialect.name)
    if error.kind is Kind.AUTHENTICATION and isinstance(error, PolicyError):
        headers.append((b"www-authenticate", b"Bearer"))
    exchange.status = status
    await caller.answer(status, headers, body)


def _when_again(exchange: Exchange, error: AsgiLLMError) -> Headers:
    """Whether the caller should ask again, and when. The official SDKs do so on their own account; where this gateway
    has done so for them, that would multiply."""
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after))))
        if error.retry_after % 1:
            headers.append((b"retry-after-ms", b"%d" % ceil(1000 * error.retry_after)))
    if isinstance(error, UpstreamError):
        should = error.should_retry
        if should is None and len(exchange.attempts) > 1 and error.retry_after is None:
            should = False
        if should is not None:
            headers.append((b"x-should-retry", b"true" if should else b"false"))
    return headers


_TOLD = (b"retry-after", b"x-should-retry")


def _from_upstream(exchange: Exchange, error: AsgiLLMError) -> Headers:
    """What the upstream said beside its error, and an id to ask for."""
    headers: Headers = []
    if isinstance(error, UpstreamError):
        # How the gateway stands upstream is not how this caller stands, where it has quotas of its own.
        own = PREFIXES.get(exchange.dialect.name, ()) if exchange.tab is not None else ()
        headers = [pair for pair in error.headers if not (pair[0].startswith(_TOLD) or pair[0].startswith(own))]
    name = b"request-id" if exchange.dialect.name == "messages" else b"x-request-id"
    if not any(pair[0] == name for pair in headers):
        headers.append((name, exchange.id.encode("ascii")))
    return headers


def in_form(dialect: Dialect, data: bytes) -> bytes:
    """All of a stream in the form in which the caller wants it."""
    if dialect.form is None:
        return data
    form = dialect.form()
    return form.feed(data) + form.end()


def _render(exchange: Exchange, error: AsgiLLMError, caller: Caller) -> tuple[int, bytes, bytes]:
    """Status, content type and body. An upstream of the caller's dialect speaks for itself: clients go by its words."""
    if b"application/problem+json" in (caller.fields.get(b"accept") or b""):
        status, _ = exchange.dialect.encode_error(error, exchange.id)
        return status, b"application/problem+json", problem(error, status)
    leg = exchange.leg
    if (
        isinstance(error, UpstreamError)
        and error.body
        and error.upstream_status is not None
        and leg is not None
        and leg.mode != "translated"
        and _is_error(exchange.dialect.name, error.body)
    ):
        return error.upstream_status, b"application/json", error.body
    status, body = exchange.dialect.encode_error(error, exchange.id)
    return status, b"application/json", body


def problem(error: AsgiLLMError, status: int) -> bytes:
    """RFC 9457 problem details."""
    details = {
        "type": f"urn:asgi-llm:error:{error.code}",
        "title": error.kind.value.replace("_", " "),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "origin": _origin(error),
    }
    if error.param is not None:
        details["param"] = error.param
    return msgspec.json.encode(details)


def _origin(error: AsgiLLMError) -> str:
    """Who is to blame."""
    match error:
        case ClientError():
            return "caller"
        case PolicyError():
            return "policy"
        case UpstreamError():
            return "upstream"
    return "gateway"


def _is_error(dialect: DialectName, body: bytes) -> bool:
    """Whether the dialect's clients can read ``body``. Those of OpenAI look for ``error`` and make do without; those of
    Anthropic look at ``type``, and engines that serve Messages beside Chat Completions send them the other's errors."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    if not isinstance(said, dict):
        return False
    return dialect != "messages" or (said.get("type") == "error" and isinstance(said.get("error"), dict))
