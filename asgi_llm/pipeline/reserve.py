"""Between plan and attempt: what the request may come to is reserved on every quota that is about it; and at the end,
what it came to is charged. Runs only where there are quotas.
"""

import asyncio
import time
from functools import partial

from msgspec import structs

from asgi_llm.dialects.caps import read_cap
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Exchange
from asgi_llm.metering.checks import sane
from asgi_llm.metering.estimate import estimate
from asgi_llm.metering.tally import Tally, come_so_far, whole_tokens
from asgi_llm.metering.texts import estimate_texts
from asgi_llm.neutral.usage import Usage
from asgi_llm.quotas.book import Book, QuotaError
from asgi_llm.quotas.rules import Load, Place, Used
from asgi_llm.runtime import Runtime

from .lost import is_free, losses, used_by, worked
from .plan import Leg

__all__ = ["WRITING", "charge", "reserve", "reserve_leg"]

_INLINE = 32 * 1024
"""Bytes of a body whose tokens are guessed from its length. A larger one may hold images, whose bytes say little: it
is looked at, off the event loop."""
_BYTES_PER_TOKEN = 4
_NOTHING = Used(0, 0, 0)
WRITING = frozenset({"completions", "generate"})
"""Of the endpoints that are no dialect's, those whose answers are tokens of output."""


async def reserve(runtime: Runtime, exchange: Exchange) -> None:
    """Fills in the tab. The plan is left without the legs in front whose targets have used up quotas of their own.

    Raises:
        PolicyError: a quota is used up, or cannot be checked and is not to be passed unchecked.
    """
    book, plan = runtime.quotas, exchange.plan
    assert book is not None  # noqa: S101  # asked by the caller
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    if book.stale:
        await book.refresh()
    if not book.rules:
        return
    if book.priced and not runtime.blueprint.prices.fresh:
        await runtime.blueprint.prices.refresh()
    size, cap, choices = await _size(exchange) if book.sized else (0, None, 1)
    for position, leg in enumerate(plan.legs):
        load = Load(size, cap, partial(_price, runtime, plan.legs[position:]), choices)
        try:
            exchange.tab = await book.reserve(exchange.id, exchange.identity, _place(exchange, leg), load)
        except QuotaError as error:
            if not error.of_target or position == len(plan.legs) - 1:
                raise
            continue
        if position:
            exchange.plan = structs.replace(plan, legs=plan.legs[position:])
        return


async def reserve_leg(runtime: Runtime, exchange: Exchange, leg: Leg) -> bool:
    """Whether the quotas of ``leg``'s own target let it serve the request, too."""
    book, tab = runtime.quotas, exchange.tab
    if book is None or tab is None:
        return True
    return await book.reserve_leg(tab, exchange.identity, _place(exchange, leg))


def charge(runtime: Runtime, exchange: Exchange) -> None:
    """Settles the tab of an exchange that is over: with what the upstream said, else with what was reserved, as far as
    it got. Synchronous: writing it down is another's work."""
    book, tab, leg = runtime.quotas, exchange.tab, exchange.leg
    if book is None or tab is None:
        return
    exchange.tab = None
    # Where nothing goes by what was used, nobody need read that out of an answer.
    used = _used(runtime, book, exchange, tab.load) if book.sized else _NOTHING
    more = [
        (one.leg.crew.target.name, _priced(runtime, book, one.leg, used_by(one, used.input if used else 0)))
        for one in losses(exchange)
    ]
    book.settle(tab, "" if leg is None else leg.crew.target.name, used, more)


def _used(runtime: Runtime, book: Book, exchange: Exchange, load: Load) -> Used | None:
    usage, leg, said = exchange.usage, exchange.leg, exchange.answered
    if leg is None:
        return _NOTHING
    if usage is not None and not usage.says:
        usage = None
    if usage is None and (is_free(exchange) or not worked(exchange)):
        return _NOTHING
    if usage is None and exchange.first_byte is not None:
        if said is None and exchange.forward is None:
            return None
        output = said.tokens() if isinstance(said, Tally) else whole_tokens(said or b"")
        usage = Usage(fresh=_read(exchange, load), visible=output)
    elif usage is None:
        usage = Usage(fresh=_read(exchange, load))
    elif exchange.outcome != "ok" and exchange.finish is None and isinstance(said, Tally):
        usage = come_so_far(usage, said)
    return _priced(runtime, book, leg, usage)


def _read(exchange: Exchange, load: Load) -> int:
    """Tokens of the input, where nobody said: as the ledger guesses them."""
    if len(exchange.body) > _INLINE:
        return load.input
    if exchange.forward is not None:
        told = estimate_texts(exchange.body)
        return load.input if told is None else told
    return _estimate(exchange) if exchange.request is None else estimate(exchange.request)


def _priced(runtime: Runtime, book: Book, leg: Leg, usage: Usage) -> Used:
    usage, _ = sane(usage)
    cost = _bill(runtime, leg, usage) if book.priced else 0
    return Used(usage.input, usage.output, cost)


def _place(exchange: Exchange, leg: Leg) -> Place:
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    return Place(exchange.endpoint, exchange.envelope.model, leg.crew.target.name)


async def _size(exchange: Exchange) -> tuple[int, int | None, int]:
    """Tokens of the input, the most of the output, and how many choices there are where that is not said."""
    body, dialect = exchange.body, exchange.dialect.name
    writes = exchange.forward is None or exchange.endpoint in WRITING
    cap, choices = read_cap(dialect, body) if writes else 0, 1
    if cap is None:
        choices = read_cap(dialect, body, absent=1) or 1
    if len(body) <= _INLINE or exchange.forward is not None:
        return -(-len(body) // _BYTES_PER_TOKEN), cap, choices
    return await asyncio.to_thread(_estimate, exchange), cap, choices


def _estimate(exchange: Exchange) -> int:
    try:
        return estimate(exchange.dialect.decode_request(exchange.body))
    except ClientError:  # which is the upstream's to say, where the bytes pass as they are
        return -(-len(exchange.body) // _BYTES_PER_TOKEN)


def _price(runtime: Runtime, legs: tuple[Leg, ...], tokens_in: int, tokens_out: int) -> int | None:
    """Micro-dollars at the dearest of ``legs``; None where nobody knows the price at one of them."""
    usage = Usage(fresh=tokens_in, visible=tokens_out)
    costs = [_bill(runtime, leg, usage) for leg in legs]
    known = [cost for cost in costs if cost is not None]
    return max(known, default=0) if len(known) == len(costs) else None


def _bill(runtime: Runtime, leg: Leg, usage: Usage) -> int | None:
    prices = runtime.blueprint.prices
    return prices.bill(leg.crew.target.name, leg.model, usage, time.time(), byok=bool(leg.credentials)).cost
