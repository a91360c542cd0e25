"""Says where a request for a model would go and why, without sending anything."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, structs

from asgi_llm.dialects.forwarded import BY_NAME, Forwarded
from asgi_llm.errors import AsgiLLMError, Kind
from asgi_llm.fleet.target import Target
from asgi_llm.neutral.request import DialectName
from asgi_llm.pipeline.plan import Mode, choose_dialect, patcher_for
from asgi_llm.pipeline.serving import not_served
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.routing.resolve import Ladder, Way

__all__ = ["ExplainedLeg", "Explanation", "explain"]

Use = Literal["first", "fallback", "overflow", "any", "never"]
"""When: first, after failures, when the request is too long for those before, after either, or not at all."""


class ExplainedLeg(Struct, frozen=True):
    """A target that the request could be sent to.

    ``model`` is its own name for the model, ``dialect`` what it is spoken to in; ``denied`` is the reason why its
    catalog does not permit the model, or None. ``use`` is ``never`` for a leg that is denied and for those behind a
    denied first one, since that refusal is final.
    """

    target: str
    provider: str
    model: str
    dialect: DialectName
    mode: Mode
    workers: tuple[str, ...]
    use: Use
    denied: str | None


class Explanation(Struct, frozen=True):
    """``rung`` of the ladder that decided (None: no rung did), ``route`` the pattern that matched if one did;
    ``status`` and ``code`` of the refusal the caller would get, or None."""

    model: str
    dialect: DialectName
    rung: str | None
    route: str | None
    legs: tuple[ExplainedLeg, ...]
    status: int | None = None
    code: str | None = None
    message: str | None = None


def explain(
    ladder: Ladder,
    targets: Mapping[str, Target],
    model: str,
    dialect: DialectName,
    named: str | None = None,
    endpoint: str | None = None,
) -> Explanation:
    """The way of a request for ``model`` in ``dialect``, or to the forwarded ``endpoint``; ``named`` is the target that
    the host chose for it."""
    forwarded = None if endpoint is None else BY_NAME[endpoint]
    dialect = dialect if forwarded is None else forwarded.dialect.name
    if not model and forwarded is None:
        return Explanation(model, dialect, None, None, (), 400, "model_required", "the name of a model is expected")
    try:
        resolution = ladder.resolve(model, named)
    except AsgiLLMError as error:
        return Explanation(model, dialect, None, None, (), error.status, error.code, error.message)
    ways = resolution.ways
    if forwarded is not None:
        ways = tuple(way for way in ways if forwarded.name in targets[way.target].endpoints)
        if not ways:
            no = not_served(resolution.ways[0].target, forwarded)
            return Explanation(model, dialect, resolution.rung, resolution.route, (), no.status, no.code, no.message)
    denials = [_denial(targets[way.target], way.model or model) for way in ways]
    legs = tuple(
        _leg(targets[way.target], way.model or model, dialect, _use(position, way, denials), denials[position])
        for position, way in enumerate(ways)
    )
    if forwarded is not None:
        legs = tuple(structs.replace(leg, mode=_mode(targets[leg.target], forwarded)) for leg in legs)
    found = Explanation(model, dialect, resolution.rung, resolution.route, legs)
    if denials[0] is None:
        return found
    kind, message = Kind.PERMISSION, f'the model "{model}" is not permitted here'
    return Explanation(model, dialect, found.rung, found.route, legs, kind.status, "model_not_permitted", message)


def _use(position: int, way: Way, denials: list[str | None]) -> Use:
    if denials[0] is not None or denials[position] is not None:
        return "never"
    if not position:
        return "first"
    return "fallback" if way.on == "failure" else way.on


def _leg(target: Target, model: str, dialect: DialectName, use: Use, denied: str | None) -> ExplainedLeg:
    model = target.upstream_model(model)
    spoken, mode = choose_dialect(target.dialects, dialect)
    patched = mode == "verbatim" and patcher_for(spoken, target.profile, model) is not None
    return ExplainedLeg(
        target=target.name,
        provider=target.provider.name,
        model=model,
        dialect=spoken,
        mode="patched" if patched else mode,
        workers=() if target.provider.embedded else tuple(member.key for member in target.members),
        use=use,
        denied=denied,
    )


def _mode(target: Target, forwarded: Forwarded) -> Mode:
    """Bytes pass as they are where no adapter is needed, whatever the target does to its dialects."""
    adapted = forwarded.name in target.provider.adapters and forwarded.name not in target.settings.endpoints
    return "translated" if adapted else "verbatim"


def _denial(target: Target, model: str) -> str | None:
    upstream_model = target.upstream_model(model)
    if target.catalog.permits(upstream_model):
        return None
    for pattern in target.settings.deny:
        if compile_glob(pattern)(upstream_model):
            return f'"{upstream_model}" matches "{pattern}" in deny'
    return f'"{upstream_model}" matches nothing in allow ({", ".join(target.settings.allow)})'
