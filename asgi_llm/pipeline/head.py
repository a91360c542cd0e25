"""The head of a good answer."""

from asgi_llm.exchange import Exchange
from asgi_llm.providers.headers import passed_back
from asgi_llm.types import Headers

__all__ = ["stream_head", "whole_head"]


def stream_head(exchange: Exchange, upstream: Headers) -> Headers:
    """For an event stream. ``upstream`` is the upstream's own head, or empty when it has not answered yet."""
    return [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        # Tells nginx and its kin not to collect events before passing them on.
        (b"x-accel-buffering", b"no"),
        *_common(exchange, upstream),
    ]


def whole_head(exchange: Exchange, upstream: Headers, length: int) -> Headers:
    """For a JSON answer of ``length`` bytes."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % length),
        *_common(exchange, upstream),
    ]


def _common(exchange: Exchange, upstream: Headers) -> Headers:
    leg = exchange.leg
    same = leg is not None and leg.dialect is exchange.dialect
    headers: Headers = [(b"x-llm-request-id", exchange.id.encode("ascii"))]
    headers += passed_back(upstream, exchange.dialect.name if same else None)
    if exchange.warnings:
        said = ", ".join(f"{warned.field};{warned.action}" for warned in exchange.warnings)
        headers.append((b"x-llm-warnings", said.encode("ascii", "replace")))
    if not same:
        name = b"request-id" if exchange.dialect.name == "messages" else b"x-request-id"
        headers.append((name, exchange.id.encode("ascii")))
    return headers
