"""Which models can be asked for: what the settings name, and what the upstreams say they have.

The upstreams are asked in parallel, each for a few seconds at most, and their answers are remembered; one that fails
leaves the others' models listed, and is named as missing. Everything is filtered by the target's catalog.
"""

import asyncio
from collections.abc import Sequence

from asgi_llm.providers.echo import ECHO_MODELS
from asgi_llm.routing.catalog import is_pattern

from .crew import Crew
from .discovery import Model, ask_models
from .fleet import Fleet
from .station import Station

__all__ = ["Listing", "Model"]

_FRESH = 60.0
_FAILED = 5.0
"""Seconds for which a list, and the lack of one, are remembered."""


class Listing:
    """The models of a fleet."""

    __slots__ = ("_fleet", "_known", "_lock", "_missing", "_until")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: dict[str, list[Model]] = {}
        self._missing: set[str] = set()
        self._until: dict[str, float] = {}
        self._lock = asyncio.Lock()

    @property
    def missing(self) -> list[str]:
        """The targets of which not all that was asked has answered."""
        return [name for name in self._fleet.crews if name in self._missing]

    async def models(self, now: float) -> list[Model]:
        """All models, each once, in the order of the settings. ``now`` is seconds of the loop's clock."""
        async with self._lock:
            stale = [crew for name, crew in self._fleet.crews.items() if self._until.get(name, 0.0) <= now]
            await asyncio.gather(*(self._refresh(crew, now) for crew in stale))
        found: dict[str, Model] = {}
        for name in self._fleet.crews:
            for model in self._known[name]:
                found.setdefault(model.id, model)
        return list(found.values())

    async def _refresh(self, crew: Crew, now: float) -> None:
        name = crew.target.name
        stations = _asked(crew, now)
        answers = await asyncio.gather(*map(ask_models, stations))
        told = [models for models in answers if models is not None]
        whole = bool(told) and len(told) == len(answers)
        self._until[name] = now + (_FRESH if whole else _FAILED)
        (self._missing.discard if whole else self._missing.add)(name)
        # A list that could not be had again stays as it was.
        if told or name not in self._known:
            named = [model for models in told for model in models]
            self._known[name] = _configured(crew) + _permitted(crew, named)


def _asked(crew: Crew, now: float) -> Sequence[Station]:
    """Every worker where they differ in their models, else one that is fit."""
    stations = list(crew.stations.values())
    if crew.discovers:
        return stations
    for station in stations:
        if any(worker.fit and worker.breaker.admits(now) for worker in station.workers):
            return [station]
    return []


def _configured(crew: Crew) -> list[Model]:
    target = crew.target
    catalog = target.catalog
    aliases = [alias for alias, model in target.settings.models.items() if catalog.permits(model)]
    exact = [name for name in target.settings.allow if not is_pattern(name) and catalog.permits(name)]
    own = [name for name in ECHO_MODELS if target.provider.embedded and catalog.permits(name)]
    said = [
        name for station in crew.stations.values() for name in station.member.settings.models if catalog.permits(name)
    ]
    return [Model(name, target.name) for name in (*aliases, *exact, *own, *said)]


def _permitted(crew: Crew, told: list[Model]) -> list[Model]:
    return [model for model in told if crew.target.catalog.permits(model.id)]
