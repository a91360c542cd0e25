"""Who calls, as the host application (or the gateway's own keys) says.

An adapter that knows its user puts an ``Identity`` into a copy of the ASGI scope under ``IDENTITY_KEY``; the core
never takes an identity from anything else the client sent, except a key it checked itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["ANONYMOUS", "IDENTITY_KEY", "TARGET_KEY", "Identity", "shown_key", "subject_of"]

IDENTITY_KEY = "asgi_llm.identity"
"""Scope key: the caller's ``Identity``, set by the host's adapter."""

TARGET_KEY = "asgi_llm.target"
"""Scope key: the name of the target that the host chose for this request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The caller.

    Attributes:
        subject: the user or service, stable and unique within the tenant (``user:42``).
        tenant: whose data and budget this is; stored things are looked up within it only.
        roles: what the access rules go by.
        source: who vouches for it (``fastapi``, ``django-session``, ``key``, ``anonymous``).
        key_id: the public id of the gateway key that was used, or None.
        scopes: what a key that was used is for, where it is not for everything: globs under ``endpoints``, ``models``
            and ``targets``.
        upstream_keys: target name -> an API key of the caller's own, shown there instead of the gateway's; never
            logged, never sent anywhere else.
        extra: facts of the host's own for its hooks; never sent anywhere.
    """

    subject: str
    tenant: str = "default"
    roles: tuple[str, ...] = ()
    source: str = "host"
    key_id: str | None = None
    scopes: Mapping[str, tuple[str, ...]] | None = field(default=None, compare=False)
    upstream_keys: Mapping[str, str] | None = field(default=None, compare=False, repr=False)
    extra: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


ANONYMOUS = Identity(subject="anonymous", source="anonymous")


_NAMES = ("id", "sub", "username", "email")


def subject_of(user: Any, *, first: tuple[str, ...] = (), advice: str = "") -> str:
    """Who ``user`` is: a text is the subject itself; of an object or a mapping it is the first that is there of
    ``first``, ``id``, ``sub``, ``username`` and ``email``. For adapters, whose hosts have users of any kind.

    Raises:
        TypeError: nothing tells; with ``advice``.
    """
    names = first + _NAMES
    found = user if isinstance(user, str) else next(filter(_says, (_member(user, name) for name in names)), None)
    if not _says(found):
        told = f"no identity can be made of {type(user).__name__}: it has none of {', '.join(names)}"
        raise TypeError(f"{told}; {advice}" if advice else told)
    return str(found)


def _member(user: Any, name: str) -> Any:
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)


def _says(value: Any) -> bool:
    return value is not None and value != ""


class _Fields(Protocol):
    """The headers of a request, as frameworks have them."""

    def get(self, name: str, default: str, /) -> str | None: ...


def shown_key(headers: _Fields | Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key that a caller shows, in whichever header the clients of its dialect put it: ``x-api-key`` (Anthropic's),
    ``x-goog-api-key`` (Google's) or ``Authorization: Bearer`` (all others). For applications that give their users
    keys or tokens of their own.

    Args:
        headers: of a request of any framework, or of an ASGI scope.
    """
    get = getattr(headers, "get", None)
    if get is None:
        pairs: Any = headers
        get = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}.get
    scheme, _, token = get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return get("x-api-key", "") or get("x-goog-api-key", "") or bearer or None
