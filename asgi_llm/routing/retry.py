"""What follows a failed attempt, and how long to wait before it."""

from enum import Enum

from asgi_llm.errors import Cause, Kind, UpstreamError

__all__ = ["Verdict", "blames_worker", "delay", "judge"]


class Verdict(Enum):
    RETRY = "retry"
    """Another worker of this target may do better; after that the next leg."""
    NEXT_LEG = "next_leg"
    """Every worker of this target would say the same; another target may not."""
    FINAL = "final"
    """The request itself is at fault, or the answer is no."""


_RETRY_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_NEXT_LEG_STATUS = frozenset({401, 402, 403, 404})
"""The upstream does not know the model, or this target's own account is the problem: no fault of the caller's."""

_WORKER_STATUS = frozenset({500, 502, 503, 504, 529})


def judge(error: UpstreamError) -> Verdict:
    """Whether to try on. A caller's own mistake (400, 413, 422) is final, and so is a time-out over everything."""
    if error.cause is Cause.TOTAL_TIMEOUT:
        return Verdict.FINAL
    if error.cause not in (Cause.STATUS, Cause.IN_BAND):
        return Verdict.RETRY
    status = error.upstream_status if error.cause is Cause.STATUS else None
    if status is None:
        status = error.status
    if status in _RETRY_STATUS or status >= 500:
        return Verdict.RETRY
    if status in _NEXT_LEG_STATUS:
        return Verdict.NEXT_LEG
    return Verdict.FINAL


def blames_worker(error: UpstreamError) -> bool:
    """Whether the failure says something about the worker's health. What it says about the request (4xx) or about
    the account's limits (429) does not."""
    if error.cause in (Cause.POOL_TIMEOUT, Cause.UNAVAILABLE):
        return False
    if error.cause is Cause.STATUS:
        return error.upstream_status in _WORKER_STATUS
    if error.cause is Cause.IN_BAND:
        return error.kind in (Kind.SERVER, Kind.BAD_GATEWAY, Kind.OVERLOADED, Kind.TIMEOUT)
    return True


def delay(attempt: int, *, base: float, factor: float, cap: float, jitter: float, spread: float) -> float:
    """Seconds to wait before attempt number ``attempt`` (the first retry is 2). ``spread`` is a random number from 0
    to 1. An upstream's ``retry-after`` is not waited for here: another worker is asked, and it may be free."""
    wait = min(cap, base * factor ** (attempt - 2))
    return min(cap, wait * (1 - jitter + 2 * jitter * spread))
