"""A place among those that are served at a time, where the settings limit them; held until the exchange is settled, and
so until the answer's body has ended."""

from asgi_llm.exchange import Caller, CallerGone, Exchange
from asgi_llm.fleet.gate import Gate

__all__ = ["give_back", "take_place"]


async def take_place(gate: Gate, exchange: Exchange, caller: Caller) -> None:
    """Waits for a place in ``gate``.

    Raises:
        PolicyError: too many wait already, or it took too long.
        CallerGone: it left meanwhile.
    """
    if not gate.try_enter():
        caller.queued = True
        try:
            await gate.enter()
        finally:
            caller.queued = False
    exchange.gates += (gate,)
    if caller.gone:
        raise CallerGone


def give_back(exchange: Exchange, gate: Gate | None = None) -> None:
    """Gives the exchange's places back, or only that in ``gate``."""
    leaving = exchange.gates if gate is None else (gate,)
    exchange.gates = () if gate is None else tuple(held for held in exchange.gates if held is not gate)
    for held in leaving:
        held.leave()
