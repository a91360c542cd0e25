"""From what an application's dependency returns to an ``Identity``."""

from collections.abc import Callable, Mapping
from typing import Any

from asgi_llm import Identity

__all__ = ["ToIdentity", "default_identity"]

ToIdentity = Callable[[Any], Identity | str | None]

_NAMES = ("id", "sub", "username", "email")


def default_identity(user: Any) -> Identity | None:
    """The identity of ``user``: an ``Identity`` as it is, a string as its subject, and of an object or a mapping the
    first that is there of ``id``, ``sub``, ``username`` and ``email``. None means that the host says nothing.

    Tenant and roles are never guessed: an application that has them gives ``to_identity``.

    Raises:
        TypeError: nothing in ``user`` tells who it is.
    """
    if user is None or isinstance(user, Identity):
        return user
    if isinstance(user, str):
        subject: object = user
    else:
        subject = next((value for name in _NAMES if (value := _member(user, name)) is not None), None)
    if subject is None or subject == "":
        raise TypeError(
            f"no identity can be made of {type(user).__name__}: it has none of {', '.join(_NAMES)}; "
            "give llm_router(to_identity=...)"
        )
    return Identity(subject=str(subject), source="fastapi")


def _member(user: Any, name: str) -> Any:
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)
