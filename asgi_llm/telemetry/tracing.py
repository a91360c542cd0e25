"""Spans of exchanges and of their attempts, for the ``TracerProvider`` that the application has set, now or later.

An exchange is one span of the kind that the conventions for generative AI have, however often it was tried; each
attempt is an HTTP span below it, and the upstream is told to go on from there. The exchange's own parent is the span
that is current in the host, else the one that the caller names in ``traceparent``. Baggage is not passed on: it may
hold anything, and upstreams are others. Imports opentelemetry, which is an extra.
"""

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    get_tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from asgi_llm.types import Headers

from .version import SCOPE, scope_version

__all__ = ["Attributes", "Trace", "Tracing"]

Attributes = Mapping[str, str | int | float | bool | list[str]]
_KEPT = 256 * 1024
"""Bytes of a stream that are kept for a span."""
_CARRIED = frozenset({b"traceparent", b"tracestate", b"baggage"})


class Tracing:
    """Makes the spans of a gateway.

    Attributes:
        content: whether spans are to hold what was said.
    """

    __slots__ = ("_propagator", "_tracer", "content")

    def __init__(self, *, content: bool) -> None:
        self.content = content
        self._tracer = get_tracer(SCOPE, scope_version())
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, name: str, attributes: Attributes, fields: Mapping[bytes, bytes], elapsed: float) -> "Trace":
        """The span of an exchange that came ``elapsed`` seconds ago; ``fields`` are its caller's headers."""
        span = self._tracer.start_span(
            name,
            self._parent(fields),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=time.time_ns() - int(elapsed * 1e9),
        )
        return Trace(span, self._tracer, self._propagator, content=self.content)

    def _parent(self, fields: Mapping[bytes, bytes]) -> Context | None:
        """None stands for whatever is current."""
        if b"traceparent" not in fields or get_current_span().get_span_context().is_valid:
            return None
        names = ("traceparent", "tracestate")
        carried = {name: fields.get(name.encode(), b"").decode("latin-1") for name in names}
        return self._propagator.extract({name: value for name, value in carried.items() if value}, Context())


class Trace:
    """One exchange's spans.

    Attributes:
        recorded: whether anybody keeps them.
        said: what was kept of the upstream's stream; None where that is not wanted.
    """

    __slots__ = ("_attempts", "_propagator", "_span", "_tracer", "recorded", "said")

    def __init__(self, span: Span, tracer: Tracer, propagator: TraceContextTextMapPropagator, *, content: bool) -> None:
        self._span = span
        self._tracer = tracer
        self._propagator = propagator
        self._attempts: list[tuple[str, Span, dict[str, str | int]]] = []
        self.recorded = span.is_recording()
        self.said: bytes | None = b"" if content and self.recorded else None

    @property
    def id(self) -> str | None:
        """The trace's, in hexadecimal; None where there is none."""
        context = self._span.get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    def keep(self, data: bytes) -> None:
        """More of the stream; what is too much is let go."""
        if self.said is not None and len(self.said) + len(data) <= _KEPT:
            self.said += data

    def attempt(self, worker: str, method: bytes, base_url: str, headers: Headers) -> Headers:
        """A request to ``worker`` begins; its headers, with the attempt as parent of what comes of it."""
        attributes: dict[str, str | int] = {}
        server = server_of(base_url) if self.recorded else {}
        if self.recorded:
            attributes = {"http.request.method": method.decode("ascii"), "asgi_llm.worker": worker, **server}
            if self._attempts:
                attributes["http.request.resend_count"] = len(self._attempts)
        span = self._tracer.start_span(
            method.decode("ascii"), set_span_in_context(self._span), kind=SpanKind.CLIENT, attributes=attributes
        )
        self._attempts.append((worker, span, server))
        carried: dict[str, str] = {}
        self._propagator.inject(carried, set_span_in_context(span))
        kept = [pair for pair in headers if pair[0] not in _CARRIED]
        return kept + [(name.encode("ascii"), value.encode("latin-1")) for name, value in carried.items()]

    def attempt_ended(self, worker: str, result: str, status: int | None) -> None:
        """It failed, or its answer has begun: then its span ends with the exchange."""
        for name, span, _ in reversed(self._attempts):
            if name == worker and span.is_recording():
                if status is not None:
                    span.set_attribute("http.response.status_code", status)
                if result != "ok":
                    error = str(status) if status is not None and status >= 400 else result
                    span.set_attribute("error.type", error)
                    span.set_status(Status(StatusCode.ERROR))
                    span.end()
                return

    def end(self, name: str, attributes: Attributes, error: str | None) -> None:
        """The exchange is over; ``error`` is what it failed with."""
        server: dict[str, str | int] = {}
        for _, attempt, server in self._attempts:  # noqa: B007  # the last one's stays
            if attempt.is_recording():
                attempt.end()
        if self.recorded:
            self._span.set_attributes(server)
            self._span.update_name(name)
            self._span.set_attributes(attributes)
            if error is not None:
                self._span.set_attribute("error.type", error)
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def server_of(base_url: str) -> dict[str, str | int]:
    """``server.address`` and ``server.port`` of a worker."""
    parts = urlsplit(base_url.rpartition("@")[0] if "@" in base_url else base_url)
    if not parts.hostname:
        return {}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname, "server.port": port}
