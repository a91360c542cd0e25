"""Active health: asks an address now and then whether it is well."""

import asyncio
import logging
import random

from asgi_llm.errors import UpstreamError
from asgi_llm.settings import HealthSettings

from .control import ask
from .crew import Crew
from .discovery import learn
from .station import Station

__all__ = ["keep_probing", "probe"]

logger = logging.getLogger("asgi_llm")

_NO_SUCH_PATH = frozenset({401, 403, 404, 405})
"""A proxy in front that lets only the API through: where nobody chose the path this says nothing against the worker."""


async def keep_probing(crew: Crew, station: Station, settings: HealthSettings) -> None:
    """Probes until cancelled. Who is new is probed at once, all others spread over the interval, so that many
    processes do not ask at the same moment."""
    if station.state != "starting":
        await asyncio.sleep(settings.interval * random.random())  # noqa: S311  # spreads load, keeps no secret
    while True:
        await probe(crew, station, settings)
        await asyncio.sleep(settings.interval * random.uniform(0.9, 1.1))  # noqa: S311


async def probe(crew: Crew, station: Station, settings: HealthSettings) -> None:
    """One probe and what follows from it. Raises nothing."""
    assert station.health is not None  # noqa: S101  # only who has one is probed
    path = station.target.provider.health_path if settings.path is None else b"/.." + settings.path.encode("ascii")
    number, before = station.health.begin(), station.state
    try:
        status, _ = await ask(station, path or b"", settings.timeout)
        unasked = settings.path is None and status in _NO_SUCH_PATH
        well, said = status < 400 or unasked, f"status {status}"
    except UpstreamError as error:
        well, said = False, error.cause.value
    if crew.heard(station, number, well=well):
        await learn(crew, station)  # it may have come back as another
    if station.state != before:
        logger.warning("worker %s is %s (%s)", station.workers[0].name, station.state, said)
