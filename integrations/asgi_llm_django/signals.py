"""Signals to connect to."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.dispatch import Signal

from asgi_llm import Exchange

__all__ = ["announce", "exchange_settled"]

exchange_settled = Signal()
"""Sent once for every request to a model, however it ended, when it is over: ``exchange`` is what is known about it
(identity, endpoint, outcome, usage, ...). Receivers may be ``def`` or ``async def``. They run apart from the request,
those that are ``def`` one after the other in one thread, and may use the database."""


def announce(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
    """Tells the receivers, if there are any. A gateway awaits what this returns in a task of its own."""
    return _announce(exchange) if exchange_settled.has_listeners(type(exchange)) else None


async def _announce(exchange: Exchange) -> None:
    # The context of the request names a thread that is about to end, and may already have.
    await asyncio.create_task(_send(exchange), context=contextvars.Context())


async def _send(exchange: Exchange) -> None:
    # What receivers raise is in the log of Django's dispatcher.
    await exchange_settled.asend_robust(sender=type(exchange), exchange=exchange)
    await sync_to_async(close_old_connections)()
