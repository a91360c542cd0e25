"""From what an application knows as its user to an ``Identity``."""

from collections.abc import Callable
from typing import Any

from asgi_llm import Identity
from asgi_llm.identity import subject_of

__all__ = ["ToIdentity", "as_identity", "default_identity"]

ToIdentity = Callable[[Any], Identity | str | None]


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
    return subject_of(user, advice="give LLMPluginConfig(to_identity=...)")
