"""The head of a good answer."""

from asgi_llm.exchange import Exchange
from asgi_llm.quotas.headers import PREFIXES, rate_headers
from asgi_llm.types import Headers

from .route_header import tell_route

__all__ = ["passing_head", "stream_head", "whole_head"]


def stream_head(exchange: Exchange, upstream: Headers) -> Headers:
    """For a stream. ``upstream`` is the upstream's own head, or empty when it has not answered yet."""
    headers = [
        (b"content-type", exchange.dialect.stream_type),
        (b"cache-control", b"no-cache"),
        # Tells nginx and its kin not to collect events before passing them on.
        (b"x-accel-buffering", b"no"),
    ]
    _add_common(headers, exchange, upstream)
    return headers


def whole_head(exchange: Exchange, upstream: Headers, length: int) -> Headers:
    """For a JSON answer of ``length`` bytes."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % length)]
    _add_common(headers, exchange, upstream)
    return headers


def passing_head(exchange: Exchange, upstream: Headers) -> Headers:
    """For an answer that is neither JSON nor a stream of events."""
    headers = [
        (b"content-type", _safe_type(upstream)),
        # It stands under the application's address, and may be anything.
        (b"x-content-type-options", b"nosniff"),
        (b"x-accel-buffering", b"no"),
    ]
    headers += [pair for pair in upstream if pair[0] in (b"content-length", b"content-disposition")]
    _add_common(headers, exchange, upstream)
    return headers


_SAFE = (b"audio/", b"video/", b"text/plain", b"text/vtt", b"text/csv", b"application/json", b"application/jsonl",
         b"application/x-ndjson", b"application/x-subrip", b"image/png", b"image/jpeg", b"image/webp")  # fmt: skip


def _safe_type(upstream: Headers) -> bytes:
    """What the upstream says it is, unless a browser would run it."""
    declared = next((value for name, value in upstream if name == b"content-type"), b"")
    return declared if declared.lower().startswith(_SAFE) else b"application/octet-stream"


def _add_common(headers: Headers, exchange: Exchange, upstream: Headers) -> None:
    leg = exchange.leg
    request_id = exchange.id.encode("ascii")
    headers.append((b"x-llm-request-id", request_id))
    if leg is not None:
        headers += leg.returned.passing(upstream)
    if exchange.plan is not None and exchange.plan.tells:
        headers.append((b"x-llm-route", tell_route(exchange)))
    if exchange.tab is not None:
        _add_standings(headers, exchange)
    if exchange.recall is not None:
        headers.append((b"x-llm-cache", exchange.recall.state.encode("ascii")))
    if exchange.warnings:
        said = ", ".join(f"{warned.field};{warned.action}" for warned in exchange.warnings)
        headers.append((b"x-llm-warnings", said.encode("ascii", "replace")))
    if leg is None or leg.mode == "translated":
        headers.append((b"request-id" if exchange.dialect.name == "messages" else b"x-request-id", request_id))


def _add_standings(headers: Headers, exchange: Exchange) -> None:
    """How the caller's quotas stand, in place of how the gateway's own stand upstream."""
    tab = exchange.tab
    assert tab is not None  # noqa: S101  # asked by the caller
    standings = rate_headers(exchange.dialect.name, tab.standings, tab.began)
    if standings:
        prefix = PREFIXES[exchange.dialect.name]
        headers[:] = [pair for pair in headers if not pair[0].startswith(prefix)] + standings
