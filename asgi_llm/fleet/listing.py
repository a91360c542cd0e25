"""Which models can be asked for: what the settings name, and what the upstreams say they have.

The upstreams are asked in parallel, each for a few seconds at most, and their answers are remembered; one that fails
leaves the others' models listed. Everything is filtered by the target's catalog.
"""

import asyncio
import logging
from typing import Any

import msgspec

from asgi_llm.errors import UpstreamError
from asgi_llm.providers.echo import ECHO_MODELS
from asgi_llm.routing.catalog import is_pattern

from .control import ask
from .fleet import Crew, Fleet

__all__ = ["Listing", "Model"]

logger = logging.getLogger("asgi_llm")

_FRESH = 60.0
_FAILED = 5.0
"""Seconds for which a list, and the lack of one, are remembered."""
_SECONDS = 3.0
"""For one question."""


class Model(msgspec.Struct, frozen=True):
    """A model by the name callers use. ``created`` is seconds since the epoch, 0 where nobody said."""

    id: str
    target: str
    created: int = 0


class Listing:
    """The models of a fleet."""

    __slots__ = ("_fleet", "_known", "_lock", "_until")

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._known: dict[str, list[Model]] = {}
        self._until: dict[str, float] = {}
        self._lock = asyncio.Lock()

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
        told = await _ask(crew, now)
        self._until[name] = now + (_FAILED if told is None else _FRESH)
        # A list that could not be had again stays as it was.
        if told is not None or name not in self._known:
            self._known[name] = _configured(crew) + _permitted(crew, told or [])


def _configured(crew: Crew) -> list[Model]:
    target = crew.target
    catalog = target.catalog
    aliases = [alias for alias, model in target.settings.models.items() if catalog.permits(model)]
    exact = [name for name in target.settings.allow if not is_pattern(name) and catalog.permits(name)]
    own = [name for name in ECHO_MODELS if target.provider.embedded and catalog.permits(name)]
    return [Model(name, target.name) for name in (*aliases, *exact, *own)]


def _permitted(crew: Crew, told: list[Model]) -> list[Model]:
    return [model for model in told if crew.target.catalog.permits(model.id)]


async def _ask(crew: Crew, now: float) -> list[Model] | None:
    """What the first fit worker says it has; None if it says nothing that can be read."""
    target = crew.target
    path = target.provider.models_path
    if path is None:
        return []
    worker = crew.pick((), now)
    if worker is None:
        return None
    try:
        status, body = await ask(worker.station, path, _SECONDS)
    except UpstreamError as error:
        logger.info("the models of target %s could not be listed: %s", target.name, error.message)
        return None
    if status != 200:
        return None
    read = _read_gemini if target.provider.models_dialect == "gemini" else _read
    return read(target.name, body)


def _read_gemini(target: str, body: bytes) -> list[Model] | None:
    try:
        value: Any = msgspec.json.decode(body)
        return [Model(item["name"].removeprefix("models/"), target) for item in value["models"]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _read(target: str, body: bytes) -> list[Model] | None:
    try:
        value: Any = msgspec.json.decode(body)
        items = value["data"]
        return [
            Model(item["id"], target, created if isinstance(created := item.get("created"), int) else 0)
            for item in items
            if isinstance(item["id"], str)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return None
