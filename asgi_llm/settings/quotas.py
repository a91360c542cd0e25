"""Settings of quotas: limits on requests, tokens, money and concurrency."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from .access import Patterns
from .values import Model, Name, Seconds, one_of

__all__ = ["Dimension", "QuotaMatch", "QuotaSettings", "Resource"]

Dimension = Literal["tenant", "subject", "key", "role", "model", "target"]
Resource = Literal["requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrency"]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError("is not the name of a time zone, as in Europe/Berlin") from None
    return value


_Window = Annotated[
    Annotated[Seconds, Field(ge=1, le=366 * 86400)] | Literal["day", "month", "lifetime"],
    one_of('must be a number of seconds from 1 to 31622400, or "day", "month" or "lifetime"'),
]


class QuotaMatch(Model):
    """Whom and what a quota is about: globs, of which one must match in each list that is given. Those behind a ``!``
    are exceptions, of which none may."""

    tenant: Patterns = ()
    subject: Patterns = ()
    key: Patterns = ()
    role: Patterns = ()
    model: Patterns = ()
    target: Patterns = ()
    endpoint: Patterns = ()


class QuotaSettings(Model):
    """One limit.

    Attributes:
        name: told to callers who meet it; unique.
        per: each combination of these has the limit for itself, as in ``["tenant", "model"]``; empty: all share it.
            A subject is told apart by its tenant, too.
        match: whom and what it is about; by default everybody and everything.
        resource: what is limited. ``tokens`` are input and output, ``cost`` is micro-dollars.
        window: the last so many seconds, the ``day`` or ``month`` of the calendar, or the ``lifetime``; not for
            ``concurrency``, which is what runs now.
        timezone: of days and months.
        limit: the most that may be used within a window.
        on_store_failure: whether requests pass (``open``) or are refused (``closed``) while the store cannot be asked.
        output: tokens reserved for an answer whose request does not limit it.
        unpriced: what a model of unknown price counts for in a quota on ``cost``: nothing, with a warning in the log
            (``free``), or it is refused (``refuse``).
    """

    name: Name
    per: tuple[Dimension, ...] = ()
    match: QuotaMatch = Field(default_factory=QuotaMatch)
    resource: Resource
    window: _Window | None = None
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    limit: Annotated[int, Field(ge=0, le=2**52)]
    on_store_failure: Literal["open", "closed"] = "closed"
    output: Annotated[int, Field(ge=1)] = 4096
    unpriced: Literal["free", "refuse"] = "refuse"

    @model_validator(mode="after")
    def _windowed(self) -> Self:
        if (self.window is None) != (self.resource == "concurrency"):
            needed = "needs no window" if self.window is not None else "needs a window"
            raise ValueError(f'a quota on "{self.resource}" {needed}')
        if len(set(self.per)) != len(self.per):
            raise ValueError("per names something twice")
        return self
