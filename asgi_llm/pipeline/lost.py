"""What a request used, where more is to be said of that than its answer says: in attempts that failed when they had
told what they used, and in those that were broken off for a quicker one. Providers charge for both.

Nearly all requests have one attempt; they pay a look for this.
"""

from asgi_llm.exchange import Exchange, Lost
from asgi_llm.neutral.usage import Usage, plus

__all__ = ["is_free", "losses", "told_in_all", "used_by", "worked"]

_FREE = frozenset({"moderations", "tokenize", "detokenize"})
"""Endpoints that name a model and use none of its tokens."""


def losses(exchange: Exchange) -> tuple[Lost, ...]:
    """What its attempts used for nothing."""
    attempts = exchange.attempts
    if len(attempts) == 1 and attempts[0].lost is None:
        return ()
    return tuple(attempt.lost for attempt in attempts if attempt.lost is not None)


def worked(exchange: Exchange) -> bool:
    """Whether an upstream gave an answer, or was at work on one when its caller left."""
    return any(attempt.result in ("ok", "abandoned") and attempt.lost is None for attempt in exchange.attempts)


def is_free(exchange: Exchange) -> bool:
    """Whether its endpoint uses no tokens of a model."""
    forward = exchange.forward
    return forward is not None and (forward.endpoint.model == "none" or forward.endpoint.name in _FREE)


def used_by(lost: Lost, input_tokens: int) -> Usage:
    """What ``lost`` used. Where it was broken off before it said so, it had read the input by then, or soon had."""
    if lost.usage is not None and lost.usage.says:
        return lost.usage
    return Usage(fresh=input_tokens, estimated=True)


def told_in_all(exchange: Exchange) -> Usage | None:
    """What all of its attempts said that they used."""
    usage = exchange.usage
    for lost in losses(exchange):
        usage = plus(usage, lost.usage)
    return usage
