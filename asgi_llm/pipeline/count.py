"""Counting instead of calling: third and fourth step for the endpoints that tell how many tokens a request has.

An upstream that can count is asked in the same way as for an answer, in the first of these dialects that it counts in:
the caller's, that in which it would be called, any other. Where there is none, or it turns out not to count after all,
the gateway estimates, and says so.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from msgspec import structs

from asgi_llm.dialects.counting import counted
from asgi_llm.dialects.interface import Dialect, Warned
from asgi_llm.dialects.registry import COUNTS
from asgi_llm.errors import Cause, TranslationError, UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.metering.estimate import estimate
from asgi_llm.neutral.request import DialectName, Request
from asgi_llm.providers.headers import returned_headers
from asgi_llm.routing.retry import Verdict, judge
from asgi_llm.runtime import Runtime

from .attempt import Reply, attempt
from .head import whole_head
from .passage import answer_for
from .plan import Leg, Plan, leg_path, patcher_for
from .relay import relay

__all__ = ["count"]

_NO_COUNTING = frozenset({404, 405, 501})
"""How an upstream says that it has no such endpoint."""
_ESTIMATED = (Warned("input_tokens", "estimate", "The upstream does not count tokens; this is an estimate."),)
_INLINE = 64 * 1024
"""Bytes of a body that is decoded and estimated on the event loop: about a millisecond."""


async def count(runtime: Runtime, exchange: Exchange, caller: Caller) -> None:
    """Answers how many tokens the request has. Fills in what ``attempt`` and ``relay`` do, but no usage: nothing was
    used.

    Raises:
        UpstreamError: an upstream that counts failed, and no other was left to ask.
        ClientError: the request is not what the caller's dialect says, or refers to what only an upstream knows.
    """
    assert exchange.plan is not None  # noqa: S101  # the steps before filled in both
    assert exchange.envelope is not None  # noqa: S101
    exchange.stream = False
    exchange.envelope = structs.replace(exchange.envelope, stream=False)
    reply = await _ask(runtime, exchange, caller, exchange.plan)
    if reply is None:
        await _answer_estimate(exchange, caller, exchange.plan.legs[0])
        return
    try:
        await relay(runtime, exchange, caller, reply, None)
    finally:
        exchange.usage = None


async def _ask(runtime: Runtime, exchange: Exchange, caller: Caller, plan: Plan) -> Reply | None:
    """The answer of the first leg that gives one; None where the leg whose turn it is does not count."""
    legs = tuple(_counting(plan.legs, exchange.dialect.name))
    if not legs:
        return None
    exchange.plan = structs.replace(plan, legs=legs)
    try:
        return await attempt(runtime, exchange, caller)
    except UpstreamError as error:
        if error.cause is Cause.STATUS and error.upstream_status in _NO_COUNTING:
            return None
        if len(legs) < len(plan.legs) and judge(error) is not Verdict.FINAL:
            return None
        raise
    except TranslationError:
        # A call would be spoken in another dialect, which may well be able to say it.
        if all(leg.dialect.name == called.dialect.name for leg, called in zip(legs, plan.legs, strict=False)):
            raise
        return None
    finally:
        exchange.plan = plan


def _counting(legs: tuple[Leg, ...], dialect: DialectName) -> Iterator[Leg]:
    """The legs for counting, up to the first that does not count."""
    for leg in legs:
        spoken = _choose(leg, dialect)
        if spoken is None:
            return
        yield _leg(leg, spoken, dialect)


def _choose(leg: Leg, dialect: DialectName) -> DialectName | None:
    target = leg.crew.target
    for name in (dialect, leg.dialect.name, *target.dialects):
        if name in target.dialects and name in target.provider.count_paths:
            return name
    return None


def _leg(leg: Leg, spoken: DialectName, dialect: DialectName) -> Leg:
    target, same = leg.crew.target, spoken == dialect
    path = leg_path(target.provider.count_paths[spoken], leg.model)
    patcher = patcher_for(spoken, target.profile, leg.model) if same else None
    return structs.replace(
        leg,
        dialect=_named(COUNTS[spoken], leg.model),
        mode="patched" if patcher is not None else "verbatim" if same else "translated",
        direct=None,
        patcher=patcher,
        path=path,
        stream_path=path,
        fixed=tuple(target.headers[spoken]),
        defaults=target.provider.fixed_headers.get(spoken, []),
        allowed=target.forwarded[spoken] if same else target.forwarded_foreign,
        returned=returned_headers(spoken if same else None),
        passes=same and patcher is None,
        passes_plain=False,
    )


def _named(dialect: Dialect, model: str) -> Dialect:
    """``dialect`` with bodies that repeat no other model than the leg's: it is the one that was permitted."""
    rename = dialect.rename
    return dialect if rename is None else replace(dialect, clean=lambda body: rename(body, model))


async def _answer_estimate(exchange: Exchange, caller: Caller, leg: Leg) -> None:
    if len(exchange.body) > _INLINE:
        tokens = await asyncio.to_thread(_estimate, exchange)
    else:
        tokens = _estimate(exchange)
    # The answer is the gateway's own, so it has the headers of one.
    exchange.leg = structs.replace(exchange.leg or leg, mode="translated")
    exchange.warnings = _ESTIMATED
    exchange.status = 200
    body = exchange.dialect.encode_response(counted(tokens), answer_for(exchange))
    await caller.answer(200, whole_head(exchange, [], len(body)), body)
    exchange.outcome = "disconnected" if caller.missed else "ok"


def _estimate(exchange: Exchange) -> int:
    """
    Raises:
        ClientError: the body is not what the dialect says, or builds on a conversation that an upstream keeps.
    """
    request = exchange.request or exchange.dialect.decode_request(exchange.body)
    _refuse_state(request)
    return estimate(request)


def _refuse_state(request: Request) -> None:
    for field in ("previous_response_id", "conversation"):
        if getattr(request.state, field) is not None:
            raise TranslationError(
                f"{field} names what only the upstream knows, and it does not count tokens; send the whole input",
                param=field,
            )
