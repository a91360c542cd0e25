"""Administration at run time: which workers there are, and adding, draining and removing them.

Every change goes by way of the shared state, so that it holds in all event loops and all processes that share it, and
survives a restart where that state does. Changes do not touch the settings: a worker of theirs that was removed stays
away until it is added again.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from asgi_llm.errors import ClientError, ConfigError, Kind, Problem
from asgi_llm.settings import WorkerSettings, wrong_workers
from asgi_llm.settings.problems import problems_of
from asgi_llm.settings.values import REFERENCE

from .fleet import Fleet
from .member import Member
from .roster import Change, worker_id
from .standing import Standing, WorkerStanding, standing
from .station import Station

__all__ = ["FleetAdmin", "WorkerView", "secrets_of"]


class WorkerView(msgspec.Struct, frozen=True):
    """A worker as this process sees it.

    Attributes:
        id: the same in every process.
        state: ``starting``, ``ready``, ``unhealthy`` or ``draining``.
        load: exchanges it works on for this event loop.
        models: those it is known to have; None where nothing is known.
        added: whether it came at run time.
        ranks: each of its data-parallel ranks, or its only one: load, breaker, cooldown.
        settings: its own, secrets as asterisks.
        client: what its connections follow in the end: time-outs in seconds, limits, TLS, proxy.
    """

    id: str
    target: str
    url: str
    state: str
    load: int
    models: list[str] | None
    added: bool
    ranks: list[WorkerStanding]
    settings: dict[str, Any]
    client: dict[str, Any]


class FleetAdmin:
    """The workers of a gateway. Methods raise ``StoreError`` where the shared state cannot be reached."""

    def __init__(self, fleet: Callable[[], Fleet]) -> None:
        """``fleet`` gives the running loop's."""
        self._fleet = fleet

    def workers(self) -> list[WorkerView]:
        """All that are there now, by target; those that were removed are not, even while they end."""
        fleet = self._fleet()
        return [_view(fleet, station) for crew in fleet.crews.values() for station in crew.stations.values()]

    def targets(self) -> list[Standing]:
        """How each target stands: its keys, its budget of retries, its queue."""
        fleet = self._fleet()
        return [standing(crew, fleet.clock()) for crew in fleet.crews.values()]

    def worker(self, name: str) -> WorkerView:
        """The worker with that id.

        Raises:
            ClientError: there is none.
        """
        fleet = self._fleet()
        return _view(fleet, _find(fleet, name))

    async def add(self, target: str, worker: Mapping[str, Any]) -> WorkerView:
        """A new worker of ``target``, with settings as in ``[[targets.NAME.workers]]``. Where workers are probed it
        gets its first request when it has answered a probe, and its full share after the slow start.

        Raises:
            ClientError: there is no such target, or it has that worker already.
            ConfigError: with every mistake in the settings, each with its path. Where the state is shared, secrets
                must be ``env://`` or ``file://`` references, which every process resolves for itself: none is written
                into the shared state.
        """
        fleet = self._fleet()
        crew = fleet.crews.get(target)
        if crew is None:
            raise ClientError(f'there is no target "{target[:100]}"', code="target_not_found", kind=Kind.NOT_FOUND)
        if crew.target.provider.embedded:
            raise ClientError(f'the target "{target}" has no workers', code="target_not_found", kind=Kind.NOT_FOUND)
        member = await asyncio.to_thread(_compiled, fleet, target, worker)  # it may read files
        if member.key in crew.stations:
            raise ClientError("the target has this worker already", code="worker_exists", kind=Kind.CONFLICT)
        others = [station.member.settings for station in crew.stations.values()]
        if said := wrong_workers(crew.target.settings.provider, [*others, member.settings]):
            raise ConfigError([Problem("role" if "role" in said else "dp_size", said)])
        name = worker_id(target, member.key)
        await fleet.change({name: Change(target, member.key, dict(worker))})
        return self.worker(name)

    async def drain(self, name: str) -> WorkerView:
        """Sends nothing new to a worker; what runs on it ends. ``resume`` undoes it.

        Raises:
            ClientError: there is no such worker.
        """
        return await self._set(name, "draining")

    async def resume(self, name: str) -> WorkerView:
        """Sends to a drained worker again, little by little.

        Raises:
            ClientError: there is no such worker.
        """
        return await self._set(name, "active")

    async def remove(self, name: str) -> None:
        """Lets a worker go: nothing new is sent to it, what runs on it ends, then its connections are closed.

        Raises:
            ClientError: there is no such worker.
        """
        fleet = self._fleet()
        station = _find(fleet, name)
        target = station.target
        listed = any(member.key == station.key for member in target.members)
        await fleet.change({name: Change(target.name, station.key, state="removed") if listed else None})

    async def _set(self, name: str, state: str) -> WorkerView:
        fleet = self._fleet()
        station = _find(fleet, name)
        known = fleet.roster.changes.get(name)
        worker = known[0].worker if known is not None else None
        # Of a worker of the settings that is as they say there is nothing to remember.
        plain = worker is None and state == "active"
        await fleet.change({name: None if plain else Change(station.target.name, station.key, worker, state)})
        return self.worker(name)


def secrets_of(worker: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The secrets among a worker's settings as they are given, with their paths."""
    tls, headers = worker.get("tls"), worker.get("headers")
    found = [(name, worker.get(name)) for name in ("api_key", "proxy")]
    found += [("tls.key", tls.get("key"))] if isinstance(tls, Mapping) else []
    found += [(f"headers.{name}", value) for name, value in headers.items()] if isinstance(headers, Mapping) else []
    return [(path, value) for path, value in found if value is not None]


def _compiled(fleet: Fleet, target: str, worker: Mapping[str, Any]) -> Member:
    try:
        member = fleet.roster.compile(target, worker)
        msgspec.json.encode(worker)
    except ValidationError as error:
        raise ConfigError(problems_of(error, WorkerSettings)) from None
    except (TypeError, ValueError):
        raise ConfigError([Problem("", "the settings of a worker must be such as JSON can hold")]) from None
    literal = [path for path, value in secrets_of(worker) if not (isinstance(value, str) and REFERENCE.match(value))]
    if fleet.boards.shared and literal:
        said = "must be an env:// or file:// reference, since the settings of the worker are kept in the shared state"
        raise ConfigError([Problem(path, said) for path in literal])
    return member


def _find(fleet: Fleet, name: str) -> Station:
    for crew in fleet.crews.values():
        for station in crew.stations.values():
            if worker_id(crew.target.name, station.key) == name:
                return station
    raise ClientError(f'there is no worker "{name[:100]}"', code="worker_not_found", kind=Kind.NOT_FOUND)


def _view(fleet: Fleet, station: Station) -> WorkerView:
    target, names = station.target, {worker.name for worker in station.workers}
    name = worker_id(target.name, station.key)
    known = fleet.roster.changes.get(name)
    given = known[0].worker if known is not None else None
    own = station.member.settings.model_dump(mode="json", exclude_unset=True)
    return WorkerView(
        id=name,
        target=target.name,
        url=station.key,
        state=station.state,
        load=station.load,
        models=None if station.models is None else sorted(station.models),
        added=given is not None,
        ranks=[rank for rank in standing(fleet.crews[target.name], fleet.clock()).workers if rank.name in names],
        settings=own,
        client=_client(station.member),
    )


def _client(member: Member) -> dict[str, Any]:
    options = member.options
    return {
        "timeouts": dataclasses.asdict(options.timeouts),
        "max_connections": options.max_connections,
        "max_keepalive": options.max_keepalive,
        "keepalive": options.keepalive,
        "http2": options.http2,
        "tls": "own" if options.tls is not None else "default",
        "proxy": options.proxy is not None,
    }
