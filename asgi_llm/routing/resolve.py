"""The resolution ladder: which target serves a model, and which rung decided.

1. the target that the host named for this request; an unknown name fails closed;
2. the first route whose glob matches the model;
3. the default target;
4. the only target there is.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from asgi_llm.errors import ClientError, Kind, PolicyError

from .catalog import compile_glob

__all__ = ["Ladder", "On", "Resolution", "Route", "Rung", "Way"]

Rung = Literal["host", "route", "default", "single"]


On = Literal["failure", "overflow", "any"]
"""After which failures a fallback is tried: broken attempts, a request too long for the models before, or both."""


class Way(NamedTuple):
    """One target of a chain; ``model`` is what it is asked for in place of the caller's name, if it is."""

    target: str
    model: str | None = None
    on: On = "failure"


class Route(NamedTuple):
    pattern: str
    target: str
    fallback: tuple[Way, ...] = ()


class Resolution(NamedTuple):
    """``ways`` is the chain: the target and its fallbacks. ``route`` is the pattern that matched, if one did."""

    rung: Rung
    ways: tuple[Way, ...]
    route: str | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets in the chain."""
        return tuple(way.target for way in self.ways)


class Ladder:
    """Resolves model names; everything that does not depend on the request is prepared once."""

    __slots__ = ("_default", "_routes", "_targets")

    def __init__(self, targets: Iterable[str], routes: Iterable[Route] = (), default: str | None = None) -> None:
        names = tuple(targets)
        self._targets = frozenset(names)
        self._routes = [
            (compile_glob(route.pattern), Resolution("route", _chain(route), route.pattern)) for route in routes
        ]
        self._default: Resolution | None = None
        if default is not None:
            self._default = Resolution("default", (Way(default),))
        elif len(names) == 1:
            self._default = Resolution("single", (Way(names[0]),))

    def resolve(self, model: str, named: str | None = None) -> Resolution:
        """The chain of targets for ``model``.

        Raises:
            PolicyError: the host named a target that does not exist (``unknown_target``).
            ClientError: no rung answers (``no_route``).
        """
        if named is not None:
            if named not in self._targets:
                raise PolicyError(
                    "the application sent this request to a target that is not configured",
                    kind=Kind.SERVER,
                    code="unknown_target",
                )
            return Resolution("host", (Way(named),))
        for matches, resolution in self._routes:
            if matches(model):
                return resolution
        if self._default is None:
            raise ClientError(f'no route leads to the model "{model[:200]}"', code="no_route", param="model")
        return self._default


def _chain(route: Route) -> tuple[Way, ...]:
    """A target is in the chain once for each model that it is asked for."""
    ways: dict[tuple[str, str | None], Way] = {}
    for way in (Way(route.target), *route.fallback):
        ways.setdefault((way.target, way.model), way)
    return tuple(ways.values())
