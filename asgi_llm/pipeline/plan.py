"""Second step: which targets may serve the request, under which model name, in which dialect and mode."""

from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from asgi_llm.dialects.direct import DIRECT, Pair
from asgi_llm.dialects.forwarded import Forwarded
from asgi_llm.dialects.forwarded.embeddings import Adapter
from asgi_llm.dialects.interface import Dialect, Patcher, Profile
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import Kind, PolicyError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.fleet.crew import Crew
from asgi_llm.identity import TARGET_KEY
from asgi_llm.neutral.request import DialectName
from asgi_llm.providers.headers import Allowed, returned_headers
from asgi_llm.routing.resolve import On, Resolution
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers

from .serving import names_model, not_served, pinned_target, serves

__all__ = ["Leg", "Mode", "Plan", "choose_dialect", "leg_for", "leg_path", "make_plan", "patcher_for"]

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
    ``number`` is its place in the route, from 1; ``on`` says after which failures it is tried. ``cap`` is the most
    tokens that this caller may be answered, ``credentials`` are its own, shown instead of the gateway's; ``key`` is the
    number of the one of the target's keys that must be shown, where it is not any.
    ``forwarded`` is the endpoint where it is no dialect's, ``adapter`` what turns it into one that this target has.
    ``hides_cost``: what it cost is not the caller's to know. ``passes``: the caller's bytes are all that it takes;
    ``passes_plain``: they are where the envelope is plain. ``cut``: how much less than the whole it is told, where that
    is too long for it; see ``history.truncation``.
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
    number: int = 1
    on: On = "failure"
    cap: int | None = None
    credentials: tuple[tuple[bytes, bytes], ...] = ()
    key: int | None = None
    forwarded: Forwarded | None = None
    adapter: Adapter | None = None
    hides_cost: bool = False
    passes: bool = False
    passes_plain: bool = False
    cut: int = 0


class Plan(Struct, frozen=True, eq=False):
    """``tells``: whether the way is told in ``x-llm-route``."""

    resolution: Resolution
    legs: tuple[Leg, ...]
    tells: bool = False


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
        name, named = forward.endpoint.name, pinned_target(forward, named)
    key = (name, exchange.envelope.model, named)
    plan = runtime.plans.get(key)
    if plan is None:
        plan = _plan(runtime, exchange, exchange.envelope.model, named)
        if len(runtime.plans) >= _PLANS:
            runtime.plans.clear()
        runtime.plans[key] = plan
    exchange.plan = plan


def _plan(runtime: Runtime, exchange: Exchange, model: str, named: str | None) -> Plan:
    blueprint = runtime.blueprint
    resolution = blueprint.ladder.resolve(model, named)
    forwarded = exchange.forward.endpoint if exchange.forward is not None else None
    legs = []
    for position, way in enumerate(resolution.ways):
        crew = runtime.fleet.crews[way.target]
        upstream_model = crew.target.upstream_model(way.model or model)
        if forwarded is not None:
            if not serves(blueprint, crew.target, forwarded):
                continue
            if not names_model(crew.target, forwarded, model):
                legs.append(_forwarded_leg(crew, "", forwarded, position + 1, way.on))
                continue
        if crew.target.catalog.permits(upstream_model):
            if forwarded is not None:
                legs.append(_forwarded_leg(crew, upstream_model, forwarded, position + 1, way.on))
            else:
                legs.append(leg_for(crew, upstream_model, exchange.dialect.name, position + 1, way.on))
        elif position == 0:
            raise PolicyError(
                f'the model "{model[:200]}" is not permitted here',
                kind=Kind.PERMISSION,
                code="model_not_permitted",
                param="model",
            )
    if forwarded is not None and not legs:
        raise not_served(resolution.ways[0].target, forwarded)
    return Plan(resolution, tuple(legs), blueprint.settings.routing.header)


def _forwarded_leg(crew: Crew, model: str, forwarded: Forwarded, number: int, on: On) -> Leg:
    target, name = crew.target, forwarded.name
    adapter = None if name in target.settings.endpoints else target.provider.adapters.get(name)
    spoken = forwarded.dialect.name if forwarded.dialect.name in target.headers else target.dialects[0]
    path = leg_path(target.endpoints[name], model)
    return Leg(
        crew,
        model,
        forwarded.dialect if adapter is None else DIALECTS[spoken],
        "verbatim" if adapter is None else "translated",
        direct=None,
        patcher=None,
        path=path,
        stream_path=path,
        # Forms say their own type, and what has no body has none.
        fixed=tuple(pair for pair in target.headers[spoken] if forwarded.body == "json" or pair[0] != b"content-type"),
        defaults=target.provider.fixed_headers.get(spoken, []),
        allowed=target.forwarded[spoken] if adapter is None else target.forwarded_foreign,
        returned=returned_headers(spoken if adapter is None else None),
        number=number,
        on=on,
        forwarded=forwarded,
        adapter=adapter,
        hides_cost=target.settings.hide_cost,
    )


def leg_for(crew: Crew, model: str, dialect: DialectName, number: int = 1, on: On = "failure") -> Leg:
    """The leg to ``model``, as the target calls it, for a caller that speaks ``dialect``."""
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
        number=number,
        on=on,
        hides_cost=target.settings.hide_cost,
        passes=own and patcher is None,
        passes_plain=patcher is not None and patcher.spares_plain,
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
