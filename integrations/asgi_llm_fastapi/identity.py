"""From what an application's dependency returns to an ``Identity``."""

from collections.abc import Callable
from typing import Any

from asgi_llm import Identity
from asgi_llm.identity import subject_of

__all__ = ["ToIdentity", "as_identity", "default_identity"]

ToIdentity = Callable[[Any], Identity | str | None]


def as_identity(user: Any, convert: ToIdentity | None) -> Identity | None:
    """Who ``user`` is. None means that the application says nothing."""
    found = (convert or default_identity)(user) if user is not None else None
    return Identity(subject=found, source="fastapi") if isinstance(found, str) else found


def default_identity(user: Any) -> Identity | None:
    """The identity of ``user``: an ``Identity`` as it is, a string as its subject, and of an object or a mapping the
    first that is there of ``id``, ``sub``, ``username`` and ``email``. None means that the host says nothing.

    Tenant and roles are never guessed: an application that has them gives ``to_identity``.

    Raises:
        TypeError: nothing in ``user`` tells who it is.
    """
    if user is None or isinstance(user, Identity):
        return user
    return Identity(subject=subject_of(user, advice="give llm_router(to_identity=...)"), source="fastapi")
