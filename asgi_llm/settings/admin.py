"""Settings of administration at run time, and of the state that all processes of a gateway share."""

from typing import Annotated

from pydantic import Field

from .values import Glob, Model, Secret

__all__ = ["AdminSettings", "StateSettings"]


class AdminSettings(Model):
    """The endpoint that lists, adds, drains and removes workers.

    Attributes:
        enabled: whether it is there at all.
        roles: an identity with one of these may use it; nobody else, and never an anonymous caller.
        references: globs of the ``env://`` and ``file://`` references that a request may name for secrets. None by
            default: whoever may add a worker could else have any variable of the process sent to it.
    """

    enabled: bool = False
    roles: Annotated[tuple[str, ...], Field(min_length=1)] = ("admin",)
    references: tuple[Glob, ...] = ()


class StateSettings(Model):
    """Where changes at run time are kept.

    Attributes:
        url: ``memory:`` (this process only) or ``redis://``, ``rediss://`` or ``unix://`` (all that name the same).
        prefix: before the names of keys there.
        interval: seconds between two looks whether another process has changed something.
    """

    url: Secret = Field(default="memory:", validate_default=True)
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$")] = "asgi_llm"
    interval: Annotated[float, Field(gt=0, le=3600)] = 1
