"""The way of a request, in five words. Start reading here.

    admit    who calls, is the body sound, which model
    plan     which targets may serve it, in which dialect and mode
    attempt  one worker after another, until one gives its first event
    relay    that answer to the caller, as it is or translated
    settle   what it used and how it ended; exactly once, whatever happened

Before ``relay`` everything may fail with a status. After the first byte nothing may change it: from there failures
are told in-band, in the grammar of the caller's dialect.
"""

import asyncio
import logging

from asgi_llm.errors import AsgiLLMError, ClientError, Kind, PolicyError, StoreError
from asgi_llm.exchange import Caller, CallerGone, CallerServed, Exchange, HostRefusal, Outcome
from asgi_llm.runtime import Runtime

from .admit import admit
from .attempt import attempt
from .cancellation import forget_cancellation
from .consult import consult
from .count import count
from .govern import govern
from .heartbeat import Heartbeat
from .plan import make_plan
from .refuse import refuse
from .relay import relay
from .reserve import reserve
from .settle import settle

__all__ = ["handle"]

logger = logging.getLogger("asgi_llm")


async def handle(runtime: Runtime, exchange: Exchange, caller: Caller, *, counting: bool = False) -> None:
    """Serves one request; with ``counting``, by saying how many tokens it has. Raises nothing, except a cancellation
    that is not about its own caller, and what the host itself raised while the body was read."""
    heartbeat: Heartbeat | None = None
    runtime.active += 1
    try:
        await admit(runtime, exchange, caller)
        if runtime.blueprint.hooks:
            await consult(runtime, exchange, caller, counting=counting)
        make_plan(runtime, exchange, caller)
        if runtime.governed or exchange.identity.scopes or exchange.identity.upstream_keys:
            caller = await govern(runtime, exchange, caller, counting=counting)
        if counting:
            await count(runtime, exchange, caller)
            return
        if runtime.quotas is not None:
            await reserve(runtime, exchange)
        if exchange.stream:
            heartbeat = Heartbeat(runtime, exchange, caller)
        reply = await attempt(runtime, exchange, caller)
        await relay(runtime, exchange, caller, reply, heartbeat)
    except AsgiLLMError as error:
        exchange.outcome = exchange.outcome or _outcome(error)
        await _refuse(exchange, error, caller, heartbeat)
    except CallerGone:
        exchange.outcome = "disconnected"
    except CallerServed:
        exchange.outcome = exchange.outcome or "ok"
    except HostRefusal as refusal:
        exchange.outcome = "denied"
        raise refusal.raised from None
    except asyncio.CancelledError:
        exchange.outcome = "disconnected"
        if not caller.gone:
            raise
        forget_cancellation()
    except Exception as error:
        exchange.outcome = "internal_error"
        if caller.gone:
            return
        logger.exception("request %s failed", exchange.id)
        await _refuse(exchange, _internal(error), caller, heartbeat)
    finally:
        if heartbeat is not None:
            heartbeat.stop()
        settle(runtime, exchange)
        runtime.active -= 1
        if runtime.stopping:
            runtime.left()


def _outcome(error: AsgiLLMError) -> Outcome:
    match error:
        case ClientError():
            return "client_error"
        case PolicyError():
            return "denied"
        case StoreError():
            return "internal_error"
    return "upstream_error"


async def _refuse(exchange: Exchange, error: AsgiLLMError, caller: Caller, heartbeat: Heartbeat | None) -> None:
    """Tells the caller; a caller that is gone, or whose server fails now, is past telling."""
    try:
        if heartbeat is not None:
            await heartbeat.pause()
        await refuse(exchange, error, caller)
    except asyncio.CancelledError:
        if not caller.gone:
            raise
        forget_cancellation()
    except Exception as failure:  # noqa: BLE001  # whatever a server raises here, there is nobody left to hear it
        logger.debug("request %s: the answer could not be sent: %r", exchange.id, failure)


def _internal(error: Exception) -> AsgiLLMError:
    return AsgiLLMError(
        f"the gateway failed ({type(error).__name__}); the details are in its log",
        kind=Kind.SERVER,
        code="internal_error",
    )
