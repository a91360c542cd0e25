"""Quotas of one process. All its event loops, in whatever threads, share one store."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict

__all__ = ["MemoryQuotas"]

_SWEEP = 1024
"""After so many new accounts those are looked for that hold nothing."""
_NEVER = float("inf")


class _Account:
    """``slots``: slot -> spent, with ``spent`` their sum, the ``oldest`` of them, and until when the last one counts;
    ``holds``: hold -> (amount, lease), with ``held`` the sum of those that count."""

    __slots__ = ("held", "holds", "keep", "oldest", "slots", "soonest", "spent")

    def __init__(self) -> None:
        self.slots: dict[int, int] = {}
        self.spent = 0
        self.oldest = _NEVER
        self.keep = 0.0
        self.holds: dict[str, tuple[int, float]] = {}
        self.held = 0
        self.soonest = _NEVER
        """No hold that counts has a lease that is over before, and every other hold one that was."""

    def forget(self, first: int, now: float) -> None:
        """What does not count any more: slots before ``first``, and holds whose lease is over."""
        if self.oldest < first:
            self.slots = {slot: amount for slot, amount in self.slots.items() if slot >= first}
            self.spent = sum(self.slots.values())
            self.oldest = min(self.slots, default=_NEVER)
        if now >= self.soonest:
            self.holds = {hold: entry for hold, entry in self.holds.items() if entry[1] + GRACE > now}
            counting = [entry for entry in self.holds.values() if entry[1] > now]
            self.held = sum(amount for amount, _ in counting)
            dead = (lease + GRACE for _, lease in self.holds.values())
            self.soonest = min((lease for _, lease in counting), default=min(dead, default=_NEVER))

    def hold(self, name: str, amount: int, lease: float) -> None:
        self.holds[name] = (amount, lease)
        self.held += amount
        if lease < self.soonest:
            self.soonest = lease

    def let_go(self, name: str) -> tuple[int, float] | None:
        entry = self.holds.pop(name, None)
        if entry is not None and entry[1] >= self.soonest:
            self.held -= entry[0]
        return entry

    def spend(self, slot: int, amount: int, keep: float) -> None:
        self.slots[slot] = self.slots.get(slot, 0) + amount
        self.spent += amount
        if slot < self.oldest:
            self.oldest = slot
        if keep > self.keep:
            self.keep = keep

    def idle(self, now: float) -> bool:
        return not self.holds and self.keep <= now


class MemoryQuotas:
    """Implements ``QuotaStore`` and ``InstantQuotas``."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        self._until_sweep = _SWEEP

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        return self.reserve_now(hold, demands, now, lease)

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        return self.settle_now(hold, charges, now)

    def reserve_now(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        with self._lock:
            accounts, balances = [], []
            for demand in demands:
                account = self._accounts.get(demand.account) or self._open(demand.account, now)
                account.forget(demand.first, now)
                accounts.append(account)
                balances.append(Balance(account.spent, account.held))
                if account.spent + account.held + demand.amount > demand.limit:
                    return Verdict(tuple(balances), len(balances) - 1, tuple(sorted(account.slots.items())))
            for demand, account in zip(demands, accounts, strict=True):
                if demand.held:
                    account.hold(hold, demand.amount, lease)
                elif demand.amount:
                    account.spend(demand.slot, demand.amount, demand.keep)
            return Verdict(tuple(balances))

    def settle_now(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        with self._lock:
            found = False
            for charge in charges:
                account = self._accounts.get(charge.account)
                if account is not None and account.let_go(hold) is not None:
                    found = True
            if found:
                for charge in charges:
                    if charge.amount:
                        account = self._accounts.get(charge.account) or self._open(charge.account, now)
                        account.spend(charge.slot, charge.amount, charge.keep)
            return found

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        with self._lock:
            for hold, accounts in holds.items():
                self._renew(hold, accounts, lease)

    async def balance(self, account: str, first: int, now: float) -> Balance:
        with self._lock:
            found = self._accounts.get(account)
            if found is None:
                return Balance(0, 0)
            found.forget(first, now)
            return Balance(found.spent, found.held)

    async def aclose(self) -> None:
        """What it knows stays: another event loop may go on with it."""

    def _open(self, name: str, now: float) -> _Account:
        self._until_sweep -= 1
        if not self._until_sweep:
            self._accounts = {known: value for known, value in self._accounts.items() if not value.idle(now)}
            self._until_sweep = max(_SWEEP, len(self._accounts))
        account = self._accounts[name] = _Account()
        return account

    def _renew(self, hold: str, accounts: Iterable[str], lease: float) -> None:
        for name in accounts:
            account = self._accounts.get(name)
            entry = account.let_go(hold) if account is not None else None
            if account is not None and entry is not None:
                account.hold(hold, entry[0], lease)
