"""Settings of what can be seen from outside: metrics, traces, the access log, the dashboard."""

from typing import Annotated, Literal

from pydantic import Field

from .values import Model, Secret

__all__ = ["DashboardSettings", "TelemetrySettings"]

Roles = Annotated[tuple[str, ...], Field(min_length=1)]


class TelemetrySettings(Model):
    """Metrics and traces. All of it is off by default.

    Attributes:
        metrics: serve ``/metrics`` for Prometheus; needs the extra ``prometheus``.
        roles: an identity with one of these may read ``/metrics``; never an anonymous caller.
        key: or whoever shows this as its bearer token, which opens nothing else.
        otel: record metrics with the OpenTelemetry ``MeterProvider`` that the application has set; needs the extra
            ``otel``.
        traces: make spans with its ``TracerProvider``, and pass them on to upstreams; needs the extra ``otel``.
        content: put what was said into the spans of traces: it may hold anything that users write.
        models: most names of models that are told apart; others count as ``other``.
        users: most users that are told apart in the counts of requests and tokens; 0 leaves users out.
        log: whether lines of the access log (``asgi_llm.access``) are text or JSON objects.
    """

    metrics: bool = False
    roles: Roles = ("admin",)
    key: Secret | None = None
    otel: bool = False
    traces: bool = False
    content: bool = False
    models: Annotated[int, Field(ge=1, le=10_000)] = 100
    users: Annotated[int, Field(ge=0, le=10_000)] = 0
    log: Literal["text", "json"] = "text"


class DashboardSettings(Model):
    """A page that shows how the gateway does.

    Attributes:
        enabled: whether it is there, at ``/dashboard``.
        roles: an identity with one of these may see it, and through it what all tenants use.
        anonymous: show it to everybody who can reach it. For demos on one's own machine.
    """

    enabled: bool = False
    roles: Roles = ("admin",)
    anonymous: bool = False
