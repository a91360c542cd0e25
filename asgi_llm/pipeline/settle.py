"""Last step: how it ended and what it used. Synchronous, so that no cancellation can come between; what must wait for
I/O is handed to a task that the gateway owns."""

import inspect
import logging

from asgi_llm.exchange import Exchange
from asgi_llm.runtime import Runtime

from .account import account
from .admission import give_back
from .observe import observe
from .reserve import charge

__all__ = ["settle"]

logger = logging.getLogger("asgi_llm.access")


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
    if runtime.quotas is not None:
        charge(runtime, exchange)
    if logger.isEnabledFor(logging.INFO):
        _log(exchange)
    if runtime.telemetry is not None:
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


def _log(exchange: Exchange) -> None:
    usage = exchange.usage
    leg = exchange.leg
    logger.info(
        "%s %s %s model=%s target=%s status=%d outcome=%s attempts=%d input=%s output=%s ms=%d",
        exchange.id,
        exchange.identity.subject,
        exchange.endpoint,
        exchange.envelope.model if exchange.envelope else "-",
        leg.crew.target.name if leg else "-",
        exchange.status,
        exchange.outcome,
        len(exchange.attempts),
        usage.input if usage else "-",
        usage.output if usage else "-",
        1000 * ((exchange.ended or exchange.started) - exchange.started),
    )
