"""Settings of how workers are probed."""

from typing import Annotated

from pydantic import Field

from .values import Model, Seconds

__all__ = ["HealthSettings"]


class HealthSettings(Model):
    """A probe is a GET of ``path``; a status below 400 is good. All times in seconds.

    Attributes:
        path: below the worker's address without its version segment; by default the provider's own.
        interval: between two probes; 0 switches them off.
        timeout: for one probe.
        failures: so many in a row, and the worker is passed over.
        successes: so many in a row, and it is back.
        slow_start: for how long a worker that is back, or new, is sent less than its share, rising to all of it.
    """

    path: Annotated[str, Field(pattern=r"^/[!-~]*$")] | None = None
    interval: Seconds = 10
    timeout: Annotated[float, Field(gt=0, le=300)] = 5
    failures: Annotated[int, Field(ge=1)] = 3
    successes: Annotated[int, Field(ge=1)] = 2
    slow_start: Seconds = 10
