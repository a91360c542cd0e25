"""Settings of administration at run time."""

from typing import Annotated

from pydantic import Field

from .values import Glob, Model, Seconds

__all__ = ["AdminSettings"]


class AdminSettings(Model):
    """The endpoint that lists, adds, drains and removes workers.

    Attributes:
        enabled: whether it is there at all.
        roles: an identity with one of these may use it; nobody else, and never an anonymous caller.
        references: globs of the ``env://`` and ``file://`` references that a request may name for secrets. None by
            default: whoever may add a worker could else have any variable of the process sent to it.
        drain_timeout: seconds that running requests get on a worker that is removed; 0 means as long as they take.
    """

    enabled: bool = False
    roles: Annotated[tuple[str, ...], Field(min_length=1)] = ("admin",)
    references: tuple[Glob, ...] = ()
    drain_timeout: Seconds = 600
