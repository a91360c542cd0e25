"""Second step: which targets may serve the request, under which model name, in which dialect and mode."""

from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from asgi_llm.dialects.direct import DIRECT, Pair
from asgi_llm.dialects.forwarded import Forwarded
from asgi_llm.dialects.forwarded.embeddings import Adapter
from asgi_llm.dialects.interface import Dialect, Patcher, Profile
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import ClientError, Kind, PolicyError
from asgi_llm.exchange import Caller, Exchange, Forward
from asgi_llm.fleet.fleet import Crew
from asgi_llm.identity import TARGET_KEY
from asgi_llm.neutral.request import DialectName
from asgi_llm.providers.headers import Allowed, returned_headers
from asgi_llm.routing.resolve import Resolution
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers

__all__ = ["Leg", "Mode", "Plan", "choose_dialect", "leg_path", "make_plan", "patcher_for"]

Mode = Literal["verbatim", "patched", "translated"]
"""``patched``: the dialects are equal, but this upstream differs from its origin; the caller's bytes are adapted where
they must be."""

_PLANS = 2048
"""Most plans remembered; model names are the callers' to invent."""


class Leg(Struct, frozen=True, eq=False):
    """One target that may serve the request, with all that is the same for every such request.

    ``model`` is its own name for the model, ``dialect`` what it is spoken to in, ``direct`` the short cut of a
    translation where there is one, ``patcher`` what adapts the caller's bytes. ``path`` and ``stream_path`` stand
    behind the worker's base URL. ``fixed`` headers go with every request, ``defaults`` with those whose caller sent
    none of that name; ``allowed`` are those of the caller's that pass, ``returned`` those of the upstream's.
    ``forwarded`` is the endpoint where it is no dialect's, ``adapter`` what turns it into one that this target has.
    """

    crew: Crew
    model: str
    dialect: Dialect
    mode: Mode
    direct: Pair | None
    patcher: Patcher | None
    path: bytes
    stream_path: bytes
    fixed: tuple[tuple[bytes, bytes], ...]
    defaults: Headers
    allowed: Allowed
    returned: Allowed
    forwarded: Forwarded | None = None
    adapter: Adapter | None = None


class Plan(Struct, frozen=True, eq=False):
    resolution: Resolution
    legs: tuple[Leg, ...]


def make_plan(runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
    """Fills in the plan.

    Raises:
        ClientError: no route leads to the model, or to a target that serves the endpoint.
        PolicyError: the model is not permitted (final: no other route and no fallback is tried), or the host named
            a target that does not exist.
    """
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    named = caller.scope.get(TARGET_KEY)
    forward = exchange.forward
    name: str = exchange.dialect.name
    if forward is not None:
        name, named = forward.endpoint.name, _pinned(forward, named)
    key = (name, exchange.envelope.model, named)
    plan = runtime.plans.get(key)
    if plan is None:
        plan = _plan(runtime, exchange, exchange.envelope.model, named)
        if len(runtime.plans) >= _PLANS:
            runtime.plans.clear()
        runtime.plans[key] = plan
    exchange.plan = plan


def _plan(runtime: Runtime, exchange: Exchange, model: str, named: str | None) -> Plan:
    resolution = runtime.blueprint.ladder.resolve(model, named)
    forwarded = exchange.forward.endpoint if exchange.forward is not None else None
    legs = []
    for position, name in enumerate(resolution.targets):
        crew = runtime.fleet.crews[name]
        upstream_model = crew.target.upstream_model(model)
        if forwarded is not None and not _serves(runtime, crew, forwarded):
            continue
        if forwarded is not None and (forwarded.model == "none" or not model):
            _check_unnamed(crew, forwarded)
            legs.append(_forwarded_leg(crew, "", forwarded))
        elif crew.target.catalog.permits(upstream_model):
            if forwarded is not None:
                legs.append(_forwarded_leg(crew, upstream_model, forwarded))
            else:
                legs.append(_leg(crew, upstream_model, exchange.dialect.name))
        elif position == 0:
            raise PolicyError(
                f'the model "{model[:200]}" is not permitted here',
                kind=Kind.PERMISSION,
                code="model_not_permitted",
                param="model",
            )
    if forwarded is not None and not legs:
        raise ClientError(
            f'the target "{resolution.targets[0]}" does not serve {forwarded.path}',
            code="endpoint_not_supported",
            kind=Kind.NOT_FOUND,
        )
    return Plan(resolution, tuple(legs))


def _pinned(forward: Forward, named: str | None) -> str | None:
    """The target that an id leads to, or else the one that the host named."""
    if forward.pin is None:
        return named
    if named is not None and named != forward.pin.target:
        raise ClientError("there is no such thing at this target", code="not_found", param="id", kind=Kind.NOT_FOUND)
    return forward.pin.target


def _serves(runtime: Runtime, crew: Crew, forwarded: Forwarded) -> bool:
    """Whether the target has the endpoint, and, where ids are to be given out, can sign them."""
    if forwarded.name not in crew.target.endpoints:
        return False
    return forwarded.pin is None or runtime.blueprint.pins.signs(crew.target.name)


def _check_unnamed(crew: Crew, forwarded: Forwarded) -> None:
    """A request that names no model, or hides many in a file, must not get round the catalog."""
    settings = crew.target.settings
    if not (settings.allow or settings.deny):
        return
    if forwarded.model == "optional":
        raise ClientError("model is missing; this target permits certain models", code="model_required", param="model")
    if forwarded.name == "batches":
        raise PolicyError(
            "batches are not permitted here, since the models in them could not be looked at",
            kind=Kind.PERMISSION,
            code="batches_not_permitted",
        )


def _forwarded_leg(crew: Crew, model: str, forwarded: Forwarded) -> Leg:
    target, name = crew.target, forwarded.name
    adapter = None if name in target.settings.endpoints else target.provider.adapters.get(name)
    spoken = forwarded.dialect.name if forwarded.dialect.name in target.headers else target.dialects[0]
    path = leg_path(target.endpoints[name], model)
    fixed = tuple(pair for pair in target.headers[spoken] if forwarded.body == "json" or pair[0] != b"content-type")
    return Leg(
        crew,
        model,
        forwarded.dialect if adapter is None else DIALECTS[spoken],
        "verbatim" if adapter is None else "translated",
        direct=None,
        patcher=None,
        path=path,
        stream_path=path,
        fixed=fixed,
        defaults=target.provider.fixed_headers.get(spoken, []),
        allowed=target.forwarded[spoken] if adapter is None else target.forwarded_foreign,
        returned=returned_headers(spoken if adapter is None else None),
        forwarded=forwarded,
        adapter=adapter,
    )


def _leg(crew: Crew, model: str, dialect: DialectName) -> Leg:
    target = crew.target
    provider = target.provider
    spoken, mode = choose_dialect(target.dialects, dialect)
    path = provider.paths[spoken]
    own = mode == "verbatim"
    patcher = patcher_for(spoken, target.profile, model) if own else None
    return Leg(
        crew,
        model,
        DIALECTS[spoken],
        "patched" if patcher is not None else mode,
        direct=DIRECT.get((dialect, spoken)),
        patcher=patcher,
        path=leg_path(path, model),
        stream_path=leg_path(provider.stream_paths.get(spoken, path), model),
        fixed=tuple(target.headers[spoken]),
        defaults=provider.fixed_headers.get(spoken, []),
        allowed=target.forwarded[spoken] if own else target.forwarded_foreign,
        returned=returned_headers(spoken if own else None),
    )


def leg_path(path: bytes, model: str) -> bytes:
    """A provider's ``path`` with the name of the model in it."""
    return path.replace(b"{model}", quote(model, safe="").encode("ascii"))


def patcher_for(dialect: DialectName, profile: Profile, model: str) -> Patcher | None:
    """What adapts requests in ``dialect`` to an upstream that speaks it, too; None where nothing can need it."""
    patcher = DIALECTS[dialect].patcher
    return None if patcher is None else patcher(profile, model)


def choose_dialect(
    spoken: tuple[DialectName, ...], dialect: DialectName
) -> tuple[DialectName, Literal["verbatim", "translated"]]:
    """What a target that speaks ``spoken`` is spoken to in when the caller speaks ``dialect``."""
    return (dialect, "verbatim") if dialect in spoken else (spoken[0], "translated")
