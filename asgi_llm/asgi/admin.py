"""The endpoint of administration: the workers, listed, added, drained and removed over HTTP.

    GET    /workers          all of them
    POST   /workers          {"target": ..., "url": ..., ...}: a new one, settings as in [[targets.NAME.workers]]
    GET    /workers/{id}     one
    PATCH  /workers/{id}     {"state": "draining"} or {"state": "active"}
    DELETE /workers/{id}     lets one go

It is there only where ``[admin] enabled`` says so, and answers only identities with one of its roles.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from asgi_llm.endpoints import DASHBOARD, METRICS, Endpoint, Table
from asgi_llm.errors import AsgiLLMError, ClientError, ConfigError, Kind, PolicyError
from asgi_llm.fleet.admin import FleetAdmin
from asgi_llm.fleet.fleet import Fleet
from asgi_llm.fleet.standing import Standing
from asgi_llm.pipeline.admit import identify
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.runtime import Runtime
from asgi_llm.settings import Settings
from asgi_llm.settings.values import REFERENCE

from .caller import ASGICaller

__all__ = ["answer_admin", "fleet_state", "is_admin", "open_table"]

_BODY = 256 * 1024
"""Most bytes of a request: certificates may be in it."""

_WORKERS = Endpoint("workers", "/workers", frozenset({"GET", "POST"}), "admin", "List the workers, or add one")
_WORKER = Endpoint(
    "worker", "/workers/{id}", frozenset({"GET", "PATCH", "DELETE"}), "admin", "Show, drain or remove a worker"
)


class _AdminTable(Table):
    """The table with the endpoints of administration. They are not among those that hosts document."""

    __slots__ = ()

    def find(self, path: str) -> tuple[Endpoint, str] | None:
        if path == "/workers":
            return _WORKERS, ""
        if path.startswith("/workers/") and (name := path[9:]) and "/" not in name:
            return _WORKER, name
        return super().find(path)


def open_table(settings: Settings) -> Table:
    """The table of what is served."""
    table = _AdminTable if settings.admin.enabled else Table
    more = [METRICS] if settings.telemetry.metrics else []
    if settings.dashboard.enabled:
        more += DASHBOARD
    return table(settings.endpoints, stored=settings.responses.stateful is True, more=more)


async def is_admin(runtime: Runtime, caller: ASGICaller) -> bool:
    """Whether the caller is known and has one of the roles."""
    settings = runtime.blueprint.settings.admin
    if not settings.enabled:
        return False
    try:
        identity = await identify(runtime, caller)
    except AsgiLLMError:
        return False
    return identity.source != "anonymous" and not set(settings.roles).isdisjoint(identity.roles)


def fleet_state(fleet: Fleet) -> dict[str, dict[str, int]]:
    """How many workers of each target are in which state."""
    return {
        name: dict(Counter(station.state for station in crew.stations.values())) for name, crew in fleet.crews.items()
    }


async def answer_admin(runtime: Runtime, caller: ASGICaller, name: str) -> tuple[int, Any]:
    """Status and JSON of the answer; ``name`` is the worker's id, empty for all of them.

    Raises:
        PolicyError: the caller may not.
        ClientError: the request is wrong.
        StoreError: the shared state cannot be reached.
    """
    await identify(runtime, caller)
    if not await is_admin(runtime, caller):
        raise PolicyError("this takes a role that you do not have", kind=Kind.PERMISSION, code="admin_required")
    admin = FleetAdmin(lambda: runtime.fleet)
    try:
        match caller.scope["method"], name:
            case "GET", "":
                targets = {each.target: _target(each) for each in admin.targets()}
                return 200, {"object": "list", "data": admin.workers(), "targets": targets}
            case "GET", _:
                return 200, admin.worker(name)
            case "POST", _:
                return 201, await _add(runtime, admin, await _read(caller))
            case "PATCH", _:
                return 200, await _patch(admin, name, await _read(caller))
        await admin.remove(name)
    except ConfigError as error:
        said = "; ".join(map(str, error.problems))
        raise ClientError(said, code="invalid_worker", param=error.problems[0].path or None) from None
    finally:
        caller.close()
    return 202, {"id": name, "object": "worker.removed"}


def _target(standing: Standing) -> dict[str, Any]:
    """What is said of a target beside its workers."""
    told = msgspec.structs.asdict(standing)
    return {name: told[name] for name in ("keys", "retries", "inside", "waiting")}


async def _read(caller: ASGICaller) -> dict[str, Any]:
    # A page in a browser can send anything but this without the host's leave.
    if caller.fields.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise ClientError("application/json is expected", param="content-type", kind=Kind.UNSUPPORTED_MEDIA_TYPE)
    try:
        value = msgspec.json.decode(await caller.body(_BODY))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClientError("the body is no JSON", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ClientError("the body must be a JSON object", code="invalid_json")
    return value


async def _add(runtime: Runtime, admin: FleetAdmin, value: dict[str, Any]) -> Any:
    target = value.pop("target", None)
    if not isinstance(target, str):
        raise ClientError("target is required: the name of the worker's target", param="target")
    _check_references(runtime, value)
    return await admin.add(target, value)


def _check_references(runtime: Runtime, value: Mapping[str, Any]) -> None:
    """Whoever may add a worker shall not be able to have every secret of this process sent there."""
    permitted = [compile_glob(pattern) for pattern in runtime.blueprint.settings.admin.references]
    for path, text in _texts(value):
        if REFERENCE.match(text):
            if not any(permits(text) for permits in permitted):
                raise ClientError(f"{path} names a reference that admin.references does not permit", param=path)
        elif path.startswith("tls.") and "-----BEGIN " not in text:
            raise ClientError(f"{path} must be PEM text or a reference", param=path)


def _texts(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        path = f"{above}.{name}" if above else str(name)
        if isinstance(item, Mapping):
            yield from _texts(item, path)
        elif isinstance(item, str):
            yield path, item


async def _patch(admin: FleetAdmin, name: str, value: dict[str, Any]) -> Any:
    match value:
        case {"state": "draining", **rest} if not rest:
            return await admin.drain(name)
        case {"state": "active", **rest} if not rest:
            return await admin.resume(name)
    raise ClientError('give {"state": "draining"} or {"state": "active"}', param="state")
