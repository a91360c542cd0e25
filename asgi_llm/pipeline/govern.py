"""Between plan and attempt: what this gateway is set to see to before anything is sent.

Where it is set to nothing of it, ``handle`` does not come here.
"""

from asgi_llm.exchange import Caller, Exchange
from asgi_llm.runtime import Runtime

from .admission import take_place
from .enforce import bring_keys, enforce
from .kept import use_kept_files
from .observe import begin_trace
from .recall import recall

__all__ = ["govern"]


async def govern(runtime: Runtime, exchange: Exchange, caller: Caller, *, counting: bool) -> Caller:
    """Whether the caller may have this, with whose keys, out of which conversation, and whether there is room for it.
    Returns who is to be answered: the caller, or what keeps the answer on its way to it.

    Raises:
        AsgiLLMError: it may not, or there is none.
        CallerServed: it was answered out of the cache.
        CallerGone: it left meanwhile.
    """
    if runtime.telemetry is not None:
        begin_trace(runtime, exchange, caller)
    if runtime.blueprint.access is not None or exchange.identity.scopes:
        enforce(runtime, exchange)
    if exchange.identity.upstream_keys:
        bring_keys(exchange)
    if runtime.blueprint.settings.endpoints.file_ids:
        use_kept_files(runtime, exchange)
    if runtime.history is not None:
        caller = await runtime.history.open(runtime, exchange, caller, counting)
    if runtime.workshop is not None and not counting:
        await runtime.workshop.open(runtime, exchange)
    if runtime.ledger is not None and runtime.ledger.full:
        await runtime.ledger.room()
    if runtime.cache is not None and not counting:
        await recall(runtime, exchange, caller)
    if runtime.gate is not None:
        await take_place(runtime.gate, exchange, caller)
    return caller
