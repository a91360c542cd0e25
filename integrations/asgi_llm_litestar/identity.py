"""From what an application knows as its user to an ``Identity``."""

from collections.abc import Callable, Mapping
from typing import Any

from asgi_llm import Identity

__all__ = ["ToIdentity", "as_identity", "default_identity"]

ToIdentity = Callable[[Any], Identity | str | None]

_NAMES = ("id", "sub", "username", "email")


def as_identity(user: Any, convert: ToIdentity) -> Identity | None:
    """Who ``user`` is. None means that the application says nothing."""
    found = convert(user) if user is not None else None
    return Identity(subject=found, source="litestar") if isinstance(found, str) else found


def default_identity(user: Any) -> Identity | str:
    """An ``Identity`` as it is, a string as its subject, and of an object or a mapping the first that is there of
    ``id``, ``sub``, ``username`` and ``email``.

    Tenant and roles are never guessed: an application that has them gives ``to_identity``.

    Raises:
        TypeError: nothing in ``user`` tells who it is.
    """
    if isinstance(user, Identity):
        return user
    subject: object = user
    if not isinstance(user, str):
        subject = next((value for name in _NAMES if (value := _member(user, name)) is not None), None)
    if subject is None or subject == "":
        raise TypeError(
            f"no identity can be made of {type(user).__name__}: it has none of {', '.join(_NAMES)}; "
            "give LLMPluginConfig(to_identity=...)"
        )
    return str(subject)


def _member(user: Any, name: str) -> Any:
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)
