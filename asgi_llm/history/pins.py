"""Where a thing is that an upstream keeps: which target has such things at all, and by which credential it is asked for
them again."""

import hashlib

from msgspec import structs

from asgi_llm.errors import ClientError, Kind
from asgi_llm.exchange import Exchange
from asgi_llm.fleet.crew import Crew
from asgi_llm.identity import Identity
from asgi_llm.pipeline.enforce import with_credentials
from asgi_llm.pipeline.plan import Leg, leg_for
from asgi_llm.providers.headers import CREDENTIALS
from asgi_llm.runtime import Runtime

from .records import Pin

__all__ = ["keeps", "pin_of", "pinned", "pinned_leg", "same_place", "unreachable"]

Fixed = tuple[tuple[bytes, bytes], ...]
_ACCOUNT = CREDENTIALS | {b"openai-organization", b"openai-project"}
"""Headers that say whose things are meant."""


def keeps(crew: Crew) -> bool:
    """Whether it has the whole API. Of several workers nobody knows which one has a thing."""
    target = crew.target
    there = target.profile.origin and not target.provider.embedded
    return there and "responses" in target.dialects and len(crew.stations) == 1


def pin_of(exchange: Exchange, leg: Leg, asked: str) -> Pin:
    """Where what ``leg`` just answered is kept."""
    key = next((told.key for told in reversed(exchange.attempts) if told.result == "ok"), None)
    return Pin(leg.crew.target.name, _credential(leg, key, leg.credentials), bool(leg.credentials), leg.model, asked)


def same_place(one: Pin, other: Pin) -> bool:
    return (one.target, one.credential) == (other.target, other.credential)


def pinned_leg(runtime: Runtime, identity: Identity, pin: Pin) -> Leg:
    """The leg to where it is kept.

    Raises:
        ClientError: there is none any more.
    """
    crew = runtime.fleet.crews.get(pin.target)
    found = None if crew is None or not keeps(crew) else pinned(leg_for(crew, pin.model, "responses"), identity, pin)
    if found is None:
        raise unreachable()
    return found


def pinned(leg: Leg, identity: Identity, pin: Pin) -> Leg | None:
    """``leg`` with the credential of ``pin``; None where that is not at hand. Of a target that has one key that is the
    one, be it another than it was: accounts outlive keys."""
    target = leg.crew.target
    if pin.own:
        key = (identity.upstream_keys or {}).get(target.name)
        own: Fixed = () if key is None else tuple(target.provider.credentials(key))
        matches = bool(own) and _credential(leg, None, own) == pin.credential
        return structs.replace(leg, credentials=own) if matches else None
    if not target.keys:
        return structs.replace(leg, credentials=())
    for number in range(len(target.keys)):
        if _credential(leg, number, ()) == pin.credential:
            return structs.replace(leg, credentials=(), key=number)
    return None


def unreachable(param: str = "id") -> ClientError:
    return ClientError(
        "this is kept by an upstream, or for an API key, that this gateway does not ask any more",
        code="state_unreachable",
        param=param,
        kind=Kind.CONFLICT,
    )


def _credential(leg: Leg, key: int | None, own: Fixed) -> str:
    """Tells the credentials from others, without telling them."""
    target = leg.crew.target
    fixed = tuple(target.headers["responses"])
    if own or key is not None:
        fixed = with_credentials(fixed, own or tuple(target.keys[key or 0]))
    said = b"\n".join(name + b":" + value for name, value in fixed if name in _ACCOUNT)
    return hashlib.sha256(said).hexdigest()[:16]
