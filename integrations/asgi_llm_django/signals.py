"""Signals to connect to."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.dispatch import Signal

from asgi_llm import Exchange

__all__ = ["announce", "budget_exhausted", "exchange_settled", "key_issued", "key_revoked"]

exchange_settled = Signal()
"""Sent once for every request to a model, however it ended, when it is over: ``exchange`` is what is known about it
(identity, endpoint, outcome, usage, ...). Receivers may be ``def`` or ``async def``. They run apart from the request,
those that are ``def`` one after the other in one thread, and may use the database."""


budget_exhausted = Signal()
"""Sent, in the same way, for every request that a quota refused: ``exchange``."""

key_issued = Signal()
"""Sent when a key was issued and is kept in the project's database: ``key`` (an ``IssuedKey``; its text is told to
nobody), and as ``replaced`` the id of the key that it replaces, or None."""

key_revoked = Signal()
"""Sent when such a key was revoked: ``key``."""


def announce(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
    """Tells the receivers, if there are any. A gateway awaits what this returns in a task of its own."""
    if not (exchange_settled.receivers or budget_exhausted.receivers):
        return None
    signals = [
        signal
        for signal, sent in ((exchange_settled, True), (budget_exhausted, exchange.error_code == "quota_exceeded"))
        if sent and signal.has_listeners(type(exchange))
    ]
    return _announce(exchange, signals) if signals else None


async def _announce(exchange: Exchange, signals: list[Signal]) -> None:
    # The context of the request names a thread that is about to end, and may already have.
    await asyncio.create_task(_send(exchange, signals), context=contextvars.Context())


async def _send(exchange: Exchange, signals: list[Signal]) -> None:
    for signal in signals:
        # What receivers raise is in the log of Django's dispatcher.
        await signal.asend_robust(sender=type(exchange), exchange=exchange)
    await sync_to_async(close_old_connections)()
