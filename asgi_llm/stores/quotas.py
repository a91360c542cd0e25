"""What a store of quotas does: keeps what was spent, and what is held back for requests that still run.

An account is one quota for one scope. A hold belongs to one request and lies on all its accounts; it counts until it is
settled, or until its lease is over because nobody renewed it: so what a killed process held comes free by itself.
Slots number the stretches of time in which things were spent (``metering/windows.py``). All times are seconds since
the epoch and come from the caller, all amounts are integers.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from asgi_llm.settings import QuotaSettings

__all__ = ["GRACE", "Balance", "Charge", "Demand", "InstantQuotas", "QuotaSource", "QuotaStore", "Verdict"]

GRACE = 86400.0
"""Seconds for which a hold whose lease is over can still be settled: its request may run after all."""


class Demand(Struct, frozen=True, gc=False):
    """``amount`` more in ``account``, which must not get above ``limit``.

    Slots from ``first`` on count, ``slot`` is the current one and counts until ``keep``. ``held`` is held back until it
    is settled, else it is spent at once.
    """

    account: str
    amount: int
    limit: int
    first: int = 0
    slot: int = 0
    keep: float = 0.0
    held: bool = True


class Charge(Struct, frozen=True, gc=False):
    """What was really used of ``account``, in ``slot``, which counts until ``keep``."""

    account: str
    amount: int
    slot: int = 0
    keep: float = 0.0


class Balance(Struct, frozen=True, gc=False):
    """What is spent and what is held in an account, the demand itself not included."""

    spent: int
    held: int


class Verdict(Struct, frozen=True, gc=False):
    """Of each demand the balance that was found, and which was refused first (its position), if one was: then nothing
    was reserved. ``slots`` are what was spent, slot by slot, in the account of that one."""

    balances: tuple[Balance, ...]
    refused: int | None = None
    slots: tuple[tuple[int, int], ...] = ()


class QuotaSource(Protocol):
    """Where a host keeps quotas that are changed while the gateway runs."""

    async def all(self) -> Sequence[QuotaSettings]:
        """Those that count now.

        Raises:
            StoreError: they cannot be had.
        """
        ...


class QuotaStore(Protocol):
    """Whatever fails outside raises; what then happens is the settings' choice."""

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        """All of the demands, or none; no account twice. Unless it is renewed, the hold counts until ``lease``."""
        ...

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        """Ends a hold and records what was used instead; ``charges`` name every account that it lies on. Whether it was
        there: settling twice does nothing, and so does settling what was never reserved. A hold whose lease is over
        can be settled for a day."""
        ...

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        """The holds, each with its accounts, count until ``lease``; one whose lease was over counts again. Those that
        are not there any more are passed over."""
        ...

    async def balance(self, account: str, first: int, now: float) -> Balance:
        """What is spent in slots from ``first`` on, and held now."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class InstantQuotas(Protocol):
    """What a ``QuotaStore`` has, too, that never waits: nobody need wait for it, or for a task of its own."""

    def reserve_now(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        """As ``reserve``."""
        ...

    def settle_now(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        """As ``settle``."""
        ...
