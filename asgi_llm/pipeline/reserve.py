"""Between plan and attempt: what the request may come to is reserved on every quota that is about it; and at the end,
what it came to is charged. Runs only where there are quotas.
"""

import asyncio
from functools import partial

from msgspec import structs

from asgi_llm.dialects.caps import read_cap
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Exchange
from asgi_llm.metering.estimate import estimate
from asgi_llm.quotas.book import Book, QuotaError
from asgi_llm.quotas.rules import Load, Place, Used
from asgi_llm.runtime import Runtime

from .plan import Leg

__all__ = ["charge", "reserve", "reserve_leg"]

_INLINE = 32 * 1024
"""Bytes of a body whose tokens are guessed from its length. A larger one may hold images, whose bytes say little: it
is looked at, off the event loop."""
_BYTES_PER_TOKEN = 4
_WRITING = frozenset({"completions", "generate"})
"""Of the endpoints that are no dialect's, those whose answers are tokens of output."""


async def reserve(runtime: Runtime, exchange: Exchange) -> None:
    """Fills in the tab. The plan is left without the legs in front whose targets have used up quotas of their own.

    Raises:
        PolicyError: a quota is used up, or cannot be checked and is not to be passed unchecked.
    """
    book, plan = runtime.quotas, exchange.plan
    assert book is not None  # noqa: S101  # asked by the caller
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    size, cap = await _size(exchange) if book.sized else (0, None)
    for position, leg in enumerate(plan.legs):
        load = Load(size, cap, partial(_price, runtime, leg))
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


def charge(book: Book, exchange: Exchange) -> None:
    """Settles the tab of an exchange that is over: with what the upstream said, else with what was reserved, as far as
    it got. Synchronous: writing it down is another's work."""
    tab, leg = exchange.tab, exchange.leg
    if tab is None:
        return
    exchange.tab = None
    book.settle(tab, "" if leg is None else leg.crew.target.name, _used(exchange, tab.load))


def _used(exchange: Exchange, load: Load) -> Used | None:
    usage, leg = exchange.usage, exchange.leg
    if usage is not None:
        # What a broken stream said last may say nothing of the output yet.
        cost = usage.cost if usage.cost is not None else load.cost(usage.input, usage.output)
        return Used(usage.input, usage.output, cost)
    if exchange.first_byte is not None:
        return None
    if exchange.outcome == "disconnected" and leg is not None:
        return Used(load.input, 0, load.cost(load.input, 0))
    return Used(0, 0, 0)


def _place(exchange: Exchange, leg: Leg) -> Place:
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    return Place(exchange.endpoint, exchange.envelope.model, leg.crew.target.name)


async def _size(exchange: Exchange) -> tuple[int, int | None]:
    """Tokens of the input, and the most of the output."""
    body = exchange.body
    writes = exchange.forward is None or exchange.endpoint in _WRITING
    cap = read_cap(exchange.dialect.name, body) if writes else 0
    if len(body) <= _INLINE or exchange.forward is not None:
        return -(-len(body) // _BYTES_PER_TOKEN), cap
    return await asyncio.to_thread(_estimate, exchange), cap


def _estimate(exchange: Exchange) -> int:
    try:
        return estimate(exchange.dialect.decode_request(exchange.body))
    except ClientError:  # which is the upstream's to say, where the bytes pass as they are
        return -(-len(exchange.body) // _BYTES_PER_TOKEN)


def _price(runtime: Runtime, leg: Leg, tokens_in: int, tokens_out: int) -> int | None:
    """Micro-dollars, or None where nobody knows the price."""
    return None
