"""Settings of the way to a target: routes, their fallbacks, and what is told of the choice."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .values import Glob, Model

__all__ = ["FallbackSettings", "RouteSettings", "RoutingSettings"]


class FallbackSettings(Model):
    """A further leg of a route. A target's name alone means the target with the caller's name of the model.

    Attributes:
        model: what the target is asked for instead of the caller's name; the target's own ``models`` apply to it.
        on: after which failures: of the attempts before it (``failure``), of a request too long for the models before
            it (``overflow``), or both (``any``).
    """

    target: str
    model: Annotated[str, Field(min_length=1)] | None = None
    on: Literal["failure", "overflow", "any"] = "failure"


def _named(value: Any) -> Any:
    return {"target": value} if isinstance(value, str) else value


class RouteSettings(Model):
    """Model names that match ``model`` go to ``target``; when it fails before the first byte, to the fallbacks."""

    model: Glob
    target: str
    fallback: tuple[Annotated[FallbackSettings, BeforeValidator(_named)], ...] = ()


class RoutingSettings(Model):
    """``header``: whether answers tell in ``x-llm-route`` which way they came. It names targets and workers, though no
    addresses: for callers who may know."""

    header: bool = False
