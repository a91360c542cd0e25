"""Last step: how it ended and what it used. Synchronous, so that no cancellation can come between; what must wait for
I/O is handed to a task that the gateway owns."""

import inspect
import logging

from asgi_llm.exchange import Exchange
from asgi_llm.runtime import Runtime

from .account import account
from .admission import give_back
from .observe import access, observe
from .reserve import charge

__all__ = ["settle"]

logger = logging.getLogger("asgi_llm")


def settle(runtime: Runtime, exchange: Exchange) -> None:
    """Records the end of ``exchange``, exactly once."""
    if exchange.settled:
        return
    exchange.settled = True
    exchange.ended = runtime.loop.time()
    if exchange.worker is not None:
        exchange.worker.abandoned(exchange.facts, exchange.probe)
        exchange.worker = None
    if exchange.gates:
        give_back(exchange)
    if exchange.hosted is not None:
        exchange.hosted.close()
    if exchange.forward is not None and exchange.forward.upload is not None:
        exchange.forward.upload.close()
    if exchange.recall is not None:
        exchange.recall.settled()
    if runtime.quotas is not None:
        charge(runtime, exchange)
    if runtime.telemetry is not None or access.isEnabledFor(logging.INFO):
        observe(runtime, exchange)
    if runtime.ledger is not None:
        account(runtime, exchange)
    for sink in runtime.blueprint.sinks:
        try:
            waiting = sink(exchange)
        except Exception:
            logger.exception("a settlement sink failed for request %s", exchange.id)
            continue
        if inspect.iscoroutine(waiting):
            runtime.spawn(waiting, "settlement")
