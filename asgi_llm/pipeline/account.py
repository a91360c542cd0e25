"""From a settled exchange to its row in the ledger.

The request path only puts the exchange into the ledger's queue. All that takes time happens in the writer's task:
prices, labels of tools, how a whole answer ended, and an estimate where nobody said what was used. A long body is
looked at in a thread.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, structs

from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.registry import COUNTS
from asgi_llm.errors import AsgiLLMError, StoreError
from asgi_llm.exchange import Exchange, Lost
from asgi_llm.metering.aside import aside
from asgi_llm.metering.checks import adds_up, sane
from asgi_llm.metering.endings import ending
from asgi_llm.metering.estimate import estimate
from asgi_llm.metering.prices import Bill, Prices, total
from asgi_llm.metering.row import COUNTS as TOKENS
from asgi_llm.metering.row import LARGEST, Row, plain
from asgi_llm.metering.tally import Tally, come_so_far, whole_tokens
from asgi_llm.metering.texts import estimate_texts
from asgi_llm.metering.tools import offered, used
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.usage import Usage, plus
from asgi_llm.runtime import Runtime

from .lost import is_free, losses, used_by, worked

__all__ = ["Accounts", "Billed", "Draft", "account"]

logger = logging.getLogger("asgi_llm.ledger")

_HELD = 64 * 1024 * 1024
"""Bytes of requests and answers that wait with their rows, at most; rows beyond that go without."""
_INLINE = 64 * 1024
"""Bytes that are looked at on the event loop: about a millisecond."""

Billed = Callable[[str, str, int | None], None]


class Draft(Struct):
    """An exchange on its way into the ledger. ``at`` is when it came, in milliseconds since the epoch, ``size`` the
    bytes that it keeps in memory."""

    exchange: Exchange
    at: int
    size: int = 0


def account(runtime: Runtime, exchange: Exchange) -> None:
    """Puts ``exchange`` into the queue of the ledger."""
    writer = runtime.ledger
    assert writer is not None  # noqa: S101  # settle() asked
    took = (exchange.ended or exchange.started) - exchange.started
    answered = exchange.answered
    size = len(exchange.body) + (len(answered) if isinstance(answered, bytes) else 0)
    if writer.held + size > _HELD:
        exchange, size = structs.replace(exchange, body=b"", request=None, answered=None, facts=None), 0
    writer.add(Draft(exchange, int(1000 * (time.time() - took)), size))


class Accounts:
    """Makes rows of drafts. ``tools`` says whether to look which tools there were; ``billed`` is told what each cost:
    target, model, micro-dollars."""

    __slots__ = ("_billed", "_prices", "_tools")

    def __init__(self, prices: Prices, *, tools: bool, billed: Billed | None = None) -> None:
        self._billed = billed
        self._prices = prices
        self._tools = tools

    async def rows(self, drafts: Sequence[Draft]) -> list[Row]:
        """A row for each draft.

        Raises:
            StoreError: their prices are not known now, but will be.
        """
        if not self._prices.fresh and not await self._prices.refresh():
            raise StoreError("the prices cannot be read now")
        rows = []
        for draft in drafts:
            if draft.size > _INLINE and self._is_long(draft.exchange):
                rows.append(await aside(self._row, draft))
            else:
                rows.append(self._row(draft))
                await asyncio.sleep(0)
        if self._billed is not None:
            for row in rows:
                if row.target is not None and row.outcome != "denied":
                    self._billed(row.target, row.model or "", row.cost)
        return rows

    def _row(self, draft: Draft) -> Row:
        try:
            return plain(self.row(draft))
        except Exception:
            logger.exception("the row of request %s holds only what is certain", draft.exchange.id)
            return plain(Row(**_facts(draft.exchange, draft.at), outcome=draft.exchange.outcome or "internal_error"))

    def row(self, draft: Draft) -> Row:
        """The row of ``draft``."""
        exchange = draft.exchange
        request = self._request(exchange)
        usage, flags = _usage(exchange, request)
        told = self._told(exchange, request)
        bill = self._bill(exchange, usage, draft.at / 1000)
        if lost := losses(exchange):
            usage, bill = self._with_lost(exchange, usage, bill, lost, draft.at / 1000)
            flags = (*flags, "other_attempts")
        if bill.mismatch:
            flags = (*flags, "cost_mismatch")
        if _is_cached(exchange):
            flags = (*flags, "cached")
        counts = {} if usage is None else {name: getattr(usage, name) for name in TOKENS}
        return Row(
            **_facts(exchange, draft.at),
            **counts,
            **told,
            server_tools=None if usage is None else usage.server_tools,
            estimated=usage is not None and usage.estimated,
            cost=_storable(bill.cost),
            cost_source=bill.source,
            market=_storable(bill.market),
            reported=None if usage is None else usage.cost,
            flags=flags,
        )

    def _is_long(self, exchange: Exchange) -> bool:
        """Whether anything but figures must be looked at."""
        return _unmetered(exchange) or isinstance(exchange.answered, bytes) or self._has_tools(exchange)

    def _has_tools(self, exchange: Exchange) -> bool:
        return self._tools and b'"tools"' in exchange.body

    def _request(self, exchange: Exchange) -> Request | None:
        """The request, where anything must be known of it."""
        if exchange.request is not None:
            return exchange.request
        if (
            exchange.leg is None
            or exchange.forward is not None
            or not (_unmetered(exchange) or self._has_tools(exchange))
        ):
            return None
        try:
            return exchange.dialect.decode_request(exchange.body)
        except AsgiLLMError:
            return None

    def _told(self, exchange: Exchange, request: Request | None) -> dict[str, Any]:
        """How it ended, and its tools."""
        outcome, error, finish = exchange.outcome or "internal_error", exchange.error_code, exchange.finish
        answered = exchange.answered
        plain = exchange.forward is None and not _is_count(exchange)
        if finish is None and exchange.leg is not None and isinstance(answered, bytes) and plain:
            try:
                candidates = exchange.leg.dialect.decode_response(answered, Restore()).candidates
                finish = candidates[0].finish.reason if candidates else None
            except AsgiLLMError as failure:
                # A whole answer that says of itself that it failed passes as it is, but is none.
                if outcome == "ok":
                    outcome, error = "upstream_error", failure.code
        told: dict[str, Any] = {"outcome": outcome, "error": error, "finish": ending(finish)}
        if self._tools and request is not None:
            told |= {"tools_offered": offered(request), "tools_used": used(request)}
        return told

    def _bill(self, exchange: Exchange, usage: Usage | None, at: float) -> Bill:
        if _is_cached(exchange):
            return Bill(0, 0, "cached")
        if not exchange.attempts or _is_count(exchange):
            return Bill(0, 0, "unsent") if not exchange.attempts else Bill(0, 0)
        leg = exchange.leg
        if leg is None:
            return Bill()
        return self._prices.bill(leg.crew.target.name, leg.model, usage, at, byok=bool(leg.credentials))

    def _with_lost(
        self, exchange: Exchange, usage: Usage | None, bill: Bill, lost: Sequence[Lost], at: float
    ) -> tuple[Usage | None, Bill]:
        """What was used and what it cost, with what attempts used that did not give the answer. Each is billed by
        itself: they may have gone to targets of other prices."""
        bills = [bill] if worked(exchange) else []
        read = 0 if usage is None else usage.input
        for one in lost:
            spent, _ = sane(used_by(one, read))
            leg = one.leg
            bills.append(self._prices.bill(leg.crew.target.name, leg.model, spent, at, byok=bool(leg.credentials)))
            usage = plus(usage, spent)
        return usage, total(bills)


def _facts(exchange: Exchange, at: int) -> dict[str, Any]:
    """What is known of an exchange without looking at what was said."""
    identity, envelope, leg = exchange.identity, exchange.envelope, exchange.leg
    ended = exchange.ended or exchange.started
    first = exchange.first_byte
    attempts = exchange.attempts
    served = exchange.served
    return {
        "id": exchange.id,
        "at": at,
        "tenant": identity.tenant,
        "subject": identity.subject,
        "key_id": identity.key_id,
        "endpoint": exchange.endpoint,
        "dialect": exchange.dialect.name,
        "upstream_dialect": None if leg is None else leg.dialect.name,
        "mode": None if leg is None else leg.mode,
        "stream": exchange.stream,
        "model": None if envelope is None else envelope.model,
        "served": None if leg is None else leg.model,
        "target": None if leg is None else leg.crew.target.name,
        "worker": None if served is None else served.worker,
        "attempts": len(attempts) + sum(attempt.resent for attempt in attempts),
        "status": exchange.status,
        "first_byte_ms": None if first is None else round(1000 * (first - exchange.started)),
        "total_ms": round(1000 * (ended - exchange.started)),
        "warnings": tuple(f"{warned.field};{warned.action}" for warned in exchange.warnings),
    }


def _unmetered(exchange: Exchange) -> bool:
    """Whether an upstream worked on it and nobody said what that took."""
    if exchange.forward is not None:
        # What was told in seconds, or in searches, was told.
        return worked(exchange) and exchange.usage is None and not is_free(exchange)
    return worked(exchange) and not (exchange.usage is not None and exchange.usage.says) and not _is_count(exchange)


def _is_cached(exchange: Exchange) -> bool:
    """Whether the answer had been given before."""
    return exchange.recall is not None and exchange.recall.state == "hit"


def _is_count(exchange: Exchange) -> bool:
    """Whether it only asked how many tokens a request has, for which nobody takes money."""
    return COUNTS.get(exchange.dialect.name) is exchange.dialect


def _usage(exchange: Exchange, request: Request | None) -> tuple[Usage | None, tuple[str, ...]]:
    """What was used, and what is to be said about that."""
    if exchange.usage is None or not exchange.usage.says:
        guess = _guess(exchange, request) if _unmetered(exchange) else None
        return guess, () if guess is None else ("no_usage",)
    usage, absurd = sane(exchange.usage)
    flags = []
    if exchange.outcome != "ok":
        flags.append("partial_usage")
        if exchange.finish is None and isinstance(exchange.answered, Tally):
            usage = come_so_far(usage, exchange.answered)
    if absurd:
        flags.append("absurd_usage")
    elif not usage.estimated and not adds_up(usage):
        flags.append("bad_usage")
    return usage, tuple(flags)


def _guess(exchange: Exchange, request: Request | None) -> Usage | None:
    said = exchange.answered
    output = said.tokens() if isinstance(said, Tally) else None if said is None else whole_tokens(said)
    if exchange.forward is not None:
        told = estimate_texts(exchange.body)
    else:
        told = None if request is None else estimate(request)
    if told is None and output is None:
        return None
    return Usage(fresh=told, visible=output or 0, estimated=True)


def _storable(money: int | None) -> int | None:
    return money if money is not None and money <= LARGEST else None
