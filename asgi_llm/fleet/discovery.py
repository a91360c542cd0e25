"""Which models the workers have, as they say themselves.

Where workers of one target differ in this, each is asked when it comes, when it is back after it was ill, and when a
model is wanted that none is known to have. What a worker did not tell is no reason to pass it over.
"""

import asyncio
import logging
from typing import Any

import msgspec

from asgi_llm.errors import UpstreamError

from .control import ask
from .crew import Crew
from .station import Station

__all__ = ["Model", "ask_models", "learn", "look_again"]

logger = logging.getLogger("asgi_llm")

_SECONDS = 3.0
"""For one question."""
_PATIENCE = 10.0
"""Seconds for which a model that nobody had is taken to be nobody's still."""

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError)


class Model(msgspec.Struct, frozen=True):
    """A model by the name callers use. ``created`` is seconds since the epoch, 0 where nobody said."""

    id: str
    target: str
    created: int = 0


async def ask_models(station: Station) -> list[Model] | None:
    """What ``station`` says it has, by its own names; None if it says nothing that can be read. Raises nothing."""
    target = station.target
    path = target.provider.models_path
    if path is None:
        return []
    try:
        status, body = await ask(station, path, _SECONDS)
    except UpstreamError as error:
        logger.info("%s could not list its models: %s", station.workers[0].name, error.message)
        return None
    if status != 200:
        return None
    try:
        return (_read_gemini if target.provider.models_dialect == "gemini" else _read)(target.name, body)
    except _BAD:
        return None


async def learn(crew: Crew, station: Station) -> None:
    """Asks a worker, if it is one that is asked, and remembers what it says."""
    if not crew.discovers or station.member.settings.models:
        return
    told = await ask_models(station)
    if told is not None:
        station.models = frozenset(model.id for model in told)
        crew.changed()


async def look_again(crew: Crew, model: str, now: float) -> bool:
    """Whether a worker has ``model``, after asking all of them if that was not done a moment ago. Many may wait for one
    look; ``now`` is seconds of the loop's clock."""
    if not crew.discovers:
        return crew.has(model)
    if crew.looking is None and now >= crew.looked + _PATIENCE:
        crew.looked = now
        crew.looking = asyncio.ensure_future(_look(crew))
    if crew.looking is not None:
        # Whoever gave the reason to look may leave; the others still wait for it.
        await asyncio.shield(crew.looking)
    return crew.has(model)


async def _look(crew: Crew) -> None:
    try:
        await asyncio.gather(*(learn(crew, station) for station in list(crew.stations.values())))
    finally:
        crew.looking = None


def _read_gemini(target: str, body: bytes) -> list[Model]:
    value: Any = msgspec.json.decode(body)
    return [Model(item["name"].removeprefix("models/"), target) for item in value["models"]]


def _read(target: str, body: bytes) -> list[Model]:
    value: Any = msgspec.json.decode(body)
    return [
        Model(item["id"], target, created if isinstance(created := item.get("created"), int) else 0)
        for item in value["data"]
        if isinstance(item["id"], str)
    ]
