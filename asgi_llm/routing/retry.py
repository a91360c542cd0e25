"""What a failed attempt means, in one table: what may follow it, whom it speaks against, and how long to wait.

Pure decisions: who is asked next, and when, is found by ``pipeline.course``.
"""

from enum import Enum
from typing import NamedTuple

from asgi_llm.errors import Cause, Kind, UpstreamError

__all__ = ["NOT_TAKEN_UP", "Rule", "Verdict", "blames_worker", "cooling", "delay", "judge", "rule_of"]

NOT_TAKEN_UP = frozenset({Cause.CONNECT, Cause.CONNECT_TIMEOUT, Cause.POOL_TIMEOUT, Cause.TLS, Cause.UNAVAILABLE})
"""Failures after which the upstream cannot have done anything: it has seen nothing of the request."""


class Verdict(Enum):
    RETRY = "retry"
    """Another worker of this target may do better; after that the next leg."""
    NEXT_LEG = "next_leg"
    """Every worker of this target would say the same; another target may not."""
    LARGER = "larger"
    """The request is too long for this model; only a leg that is meant for longer ones can help."""
    FINAL = "final"
    """The request itself is at fault, or the answer is no."""


class Rule(NamedTuple):
    """``blames``: it says something about the worker's health. ``again``: where the worker is the only one of its
    target, it may be asked a second time. ``key``: it is about the credentials, and others may do better."""

    verdict: Verdict
    blames: bool = False
    again: bool = False
    key: bool = False


_FINAL = Rule(Verdict.FINAL)
_LARGER = Rule(Verdict.LARGER)
_BROKEN = Rule(Verdict.RETRY, blames=True, again=True)
_SERVER = Rule(Verdict.RETRY)
_PASSING = Rule(Verdict.RETRY, again=True)
_ELSEWHERE = Rule(Verdict.NEXT_LEG)
_ACCOUNT = Rule(Verdict.NEXT_LEG, key=True)

_BY_CAUSE: dict[Cause, Rule] = {
    Cause.CONNECT: _BROKEN,
    Cause.CONNECT_TIMEOUT: _BROKEN,
    Cause.RESET: _BROKEN,
    Cause.PROTOCOL: _BROKEN,
    Cause.TRUNCATED: _BROKEN,
    # A certificate does not mend itself, and what is no answer now is none a moment later.
    Cause.TLS: Rule(Verdict.RETRY, blames=True),
    Cause.CONTENT: Rule(Verdict.RETRY, blames=True),
    # It has been waited for already, and the worker may still be busy with what it was asked.
    Cause.FIRST_BYTE_TIMEOUT: Rule(Verdict.RETRY, blames=True),
    Cause.IDLE_TIMEOUT: Rule(Verdict.RETRY, blames=True),
    Cause.POOL_TIMEOUT: Rule(Verdict.RETRY),
    Cause.UNAVAILABLE: Rule(Verdict.RETRY),
    Cause.TOTAL_TIMEOUT: Rule(Verdict.FINAL, blames=True),
}
"""By cause; an error that the upstream told has its status looked up in ``_BY_STATUS``."""

_BY_STATUS: dict[int, Rule] = {
    # The upstream does not know the model, or this target's own account is the problem: no fault of the caller's.
    401: _ACCOUNT,
    402: _ACCOUNT,
    403: _ACCOUNT,
    404: _ELSEWHERE,
    408: _PASSING,
    409: _PASSING,
    425: _PASSING,
    429: Rule(Verdict.RETRY, again=True, key=True),
    500: _BROKEN,
    502: _BROKEN,
    503: _BROKEN,
    504: Rule(Verdict.RETRY, blames=True),
    # What a proxy says of a server that it cannot reach.
    **dict.fromkeys((520, 521, 522, 523, 525, 526), _BROKEN),
    524: Rule(Verdict.RETRY, blames=True),
    529: _BROKEN,
}
"""By status; any other from 500 on may be better elsewhere, and any other below is the caller's own mistake."""


def rule_of(error: UpstreamError) -> Rule:
    """The row of the table that ``error`` falls under."""
    rule = _BY_CAUSE.get(error.cause)
    if rule is not None:
        return rule
    if error.kind is Kind.CONTEXT_LENGTH:
        return _LARGER
    if error.kind is Kind.BILLING or error.code == "upstream_authentication":
        return _ACCOUNT
    status = error.upstream_status if error.cause is Cause.STATUS else None
    if status is None:
        status = error.status
    rule = _BY_STATUS.get(status)
    if rule is not None:
        return rule
    return _SERVER if status >= 500 else _FINAL


def judge(error: UpstreamError) -> Verdict:
    """What may follow. The upstream's own word (``x-should-retry``) stands above the table, as it does with the
    official SDKs."""
    verdict = rule_of(error).verdict
    if error.should_retry is None or verdict is Verdict.LARGER:
        return verdict
    if error.should_retry:
        return Verdict.RETRY
    return Verdict.NEXT_LEG if verdict is Verdict.RETRY else verdict


def blames_worker(error: UpstreamError) -> bool:
    """Whether the failure says something about the worker's health. What it says about the request (4xx) or about
    the account's limits (429) does not."""
    return rule_of(error).blames


def cooling(error: UpstreamError) -> float | None:
    """Seconds for which whoever said so wants to be left alone; None if it did not say that.

    A 429 says so even without a number, for which 0 stands, and so does overload that is told inside an answer, where
    there is no header for one.
    """
    if error.cause not in (Cause.STATUS, Cause.IN_BAND) or error.kind is Kind.BILLING:
        return None
    if error.upstream_status == 429 or error.kind is Kind.RATE_LIMIT:
        return error.retry_after or 0.0
    if error.cause is Cause.IN_BAND and error.kind is Kind.OVERLOADED:
        return error.retry_after or 0.0
    busy = error.upstream_status in (503, 529) or error.kind is Kind.OVERLOADED
    return error.retry_after if busy and error.retry_after else None


def delay(attempt: int, *, base: float, factor: float, cap: float, jitter: float, spread: float) -> float:
    """Seconds to wait before attempt number ``attempt`` (the first retry is 2): a wait that grows to ``cap``, of which
    the share ``jitter`` is left to chance. ``spread`` is a random number from 0 to 1."""
    wait = min(cap, base * factor ** (attempt - 2))
    return wait * (1 - jitter * (1 - spread))
