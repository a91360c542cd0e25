"""Settings of the ledger: what is recorded of each request, and how it gets to the store."""

from typing import Annotated, Literal

from pydantic import Field

from .values import Model, Seconds

__all__ = ["LedgerSettings"]


class LedgerSettings(Model):
    """Rows go to the store in batches, off the request path.

    Attributes:
        enabled: by default where a durable store or this table is configured.
        batch: most rows in one write; so many waiting rows are written at once.
        interval: seconds after which fewer are.
        queue: most rows that wait; they do where the store is slow or down.
        when_full: ``drop`` lets requests go on and counts the rows that are lost; ``wait`` lets new requests wait up
            to ``wait`` seconds for room, then refuses them.
        wait: see there.
        rows: most rows that a ledger in memory keeps; the oldest go first.
        tools: record which tools a request offered and had used.
        readers: roles that may see the usage of their whole tenant at ``/v1/usage``; everybody may see their own.
    """

    enabled: bool = True
    batch: Annotated[int, Field(ge=1, le=5000)] = 200
    interval: Annotated[Seconds, Field(gt=0, le=3600)] = 1
    queue: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    when_full: Literal["drop", "wait"] = "drop"
    wait: Seconds = 10
    rows: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    tools: bool = True
    readers: tuple[str, ...] = ()
