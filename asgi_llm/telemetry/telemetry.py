"""All that is told of exchanges, put together from the settings."""

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.settings import Settings, TelemetrySettings

from .family import Family
from .meters import Meters, Sink

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["Telemetry", "open_telemetry"]


Expose = Callable[[Iterable[Family], str], tuple[bytes, str]]
"""Families and what the reader accepts -> text and its content type."""


class Telemetry:
    """What a runtime tells. ``meters`` outlive a change of settings; ``tracing`` is None where there are no traces, and
    ``expose``, which writes metrics as Prometheus reads them, where it does not."""

    __slots__ = ("_settings", "_sinks", "expose", "meters", "tracing")

    def __init__(
        self,
        settings: Settings,
        meters: Meters,
        tracing: "Tracing | None" = None,
        expose: Expose | None = None,
        sinks: tuple[Sink, ...] = (),
    ) -> None:
        self.expose = expose
        self._settings = settings
        self._sinks = sinks
        self.meters = meters
        self.tracing = tracing

    def take_effect(self) -> None:
        """The settings are in force: what the meters go by are theirs."""
        wanted = self._settings.telemetry
        self.meters.limit(wanted.models, wanted.users, _known_models(self._settings))
        self.meters.pass_on(*self._sinks)


def open_telemetry(settings: Settings, meters: Meters) -> Telemetry | None:
    """None where the settings want nothing of it.

    Raises:
        ConfigError: it needs an extra that is not installed.
    """
    wanted = settings.telemetry
    if problems := list(_missing(settings)):
        raise ConfigError(problems)
    if not (wanted.metrics or wanted.otel or wanted.traces or settings.dashboard.enabled):
        return None
    sinks: tuple[Sink, ...] = ()
    if wanted.otel:
        from .instruments import Instruments

        sinks = (Instruments().record,)
    tracing = _tracing(wanted) if wanted.traces else None
    return Telemetry(settings, meters, tracing, _expose() if wanted.metrics else None, sinks)


def _expose() -> Expose:
    from .prometheus import exposed

    return exposed


def _tracing(wanted: TelemetrySettings) -> "Tracing":
    from .tracing import Tracing

    return Tracing(content=wanted.content)


def _missing(settings: Settings) -> Iterator[Problem]:
    wanted = settings.telemetry
    if wanted.metrics and find_spec("prometheus_client") is None:
        yield Problem("telemetry.metrics", 'needs an extra: pip install "asgi-llm[prometheus]"')
    if (wanted.otel or wanted.traces) and find_spec("opentelemetry") is None:
        name = "otel" if wanted.otel else "traces"
        yield Problem(f"telemetry.{name}", 'needs an extra: pip install "asgi-llm[otel]"')


def _known_models(settings: Settings) -> Iterator[str]:
    """Names that are in the settings themselves, so that they need not prove to be any."""
    for route in settings.routes:
        if not any(sign in route.model for sign in "*?["):
            yield route.model
    for target in settings.targets.values():
        yield from (name for name in target.models if not any(sign in name for sign in "*?["))
