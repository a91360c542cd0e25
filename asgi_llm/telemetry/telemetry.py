"""All that is told of exchanges, put together from the settings."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.settings import Settings

from .meters import Meters

if TYPE_CHECKING:
    from .tracing import Tracing

__all__ = ["Telemetry", "open_telemetry"]


class Telemetry:
    """What a runtime tells. ``meters`` outlive a change of settings; ``tracing`` is None where there are no traces."""

    __slots__ = ("meters", "tracing")

    def __init__(self, meters: Meters, tracing: "Tracing | None" = None) -> None:
        self.meters = meters
        self.tracing = tracing


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
    meters.limit(wanted.models, wanted.users, _known_models(settings))
    tracing = None
    meters.pass_on()
    if wanted.otel:
        from .instruments import Instruments

        meters.pass_on(Instruments().record)
    if wanted.traces:
        from .tracing import Tracing

        tracing = Tracing(content=wanted.content)
    return Telemetry(meters, tracing)


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
