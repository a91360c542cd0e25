"""Quotas of one process. All its event loops, in whatever threads, share one store."""

import threading
from collections.abc import Iterable, Mapping, Sequence

from asgi_llm.stores.quotas import GRACE, Balance, Charge, Demand, Verdict

__all__ = ["MemoryQuotas"]

_SWEEP = 1024
"""After so many new accounts those are looked for that hold nothing."""


class _Account:
    """``slots``: slot -> (spent, until when it counts); ``holds``: hold -> (amount, lease); ``held``: their sum."""

    __slots__ = ("held", "holds", "slots", "soonest")

    def __init__(self) -> None:
        self.slots: dict[int, tuple[int, float]] = {}
        self.holds: dict[str, tuple[int, float]] = {}
        self.held = 0
        self.soonest = 0.0
        """No lease of a hold that counts is over before."""

    def spent(self, first: int) -> int:
        if any(slot < first for slot in self.slots):
            self.slots = {slot: entry for slot, entry in self.slots.items() if slot >= first}
        return sum(amount for amount, _ in self.slots.values())

    def live(self, now: float) -> int:
        """What is held by holds whose lease is not over."""
        if now >= self.soonest:
            self.holds = {hold: entry for hold, entry in self.holds.items() if entry[1] + GRACE > now}
            counting = [entry for entry in self.holds.values() if entry[1] > now]
            self.held = sum(amount for amount, _ in counting)
            self.soonest = min((lease for _, lease in counting), default=now)
        return self.held

    def spend(self, slot: int, amount: int, keep: float) -> None:
        if amount:
            self.slots[slot] = (self.slots.get(slot, (0, 0.0))[0] + amount, keep)

    def idle(self, now: float) -> bool:
        return not self.holds and all(keep <= now for _, keep in self.slots.values())


class MemoryQuotas:
    """Implements ``QuotaStore``."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        self._until_sweep = _SWEEP

    async def reserve(self, hold: str, demands: Sequence[Demand], now: float, lease: float) -> Verdict:
        with self._lock:
            accounts = [self._account(demand.account, now) for demand in demands]
            balances = []
            for position, (demand, account) in enumerate(zip(demands, accounts, strict=True)):
                balance = Balance(account.spent(demand.first), account.live(now))
                balances.append(balance)
                if balance.spent + balance.held + demand.amount > demand.limit:
                    slots = tuple((slot, amount) for slot, (amount, _) in sorted(account.slots.items()))
                    return Verdict(tuple(balances), position, slots)
            for demand, account in zip(demands, accounts, strict=True):
                if not demand.held:
                    account.spend(demand.slot, demand.amount, demand.keep)
                    continue
                account.holds[hold] = (demand.amount, lease)
                account.held += demand.amount
                account.soonest = min(account.soonest, lease) if len(account.holds) > 1 else lease
            return Verdict(tuple(balances))

    async def settle(self, hold: str, charges: Sequence[Charge], now: float) -> bool:
        with self._lock:
            found = False
            for charge in charges:
                found |= self._let_go(hold, charge.account, now)
            for charge in charges if found else ():
                self._account(charge.account, now).spend(charge.slot, charge.amount, charge.keep)
            return found

    async def renew(self, holds: Mapping[str, Sequence[str]], now: float, lease: float) -> None:
        with self._lock:
            for hold, accounts in holds.items():
                self._renew(hold, accounts, now, lease)

    async def balance(self, account: str, first: int, now: float) -> Balance:
        with self._lock:
            found = self._accounts.get(account)
            return Balance(0, 0) if found is None else Balance(found.spent(first), found.live(now))

    async def aclose(self) -> None:
        """What it knows stays: another event loop may go on with it."""

    def _account(self, name: str, now: float) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            self._until_sweep -= 1
            if not self._until_sweep:
                self._accounts = {known: value for known, value in self._accounts.items() if not value.idle(now)}
                self._until_sweep = max(_SWEEP, len(self._accounts))
            account = self._accounts[name] = _Account()
        return account

    def _let_go(self, hold: str, name: str, now: float) -> bool:
        account = self._accounts.get(name)
        entry = account.holds.pop(hold, None) if account is not None else None
        if account is None or entry is None:
            return False
        account.soonest = now  # the sum is made anew when it is asked for
        return True

    def _renew(self, hold: str, accounts: Iterable[str], now: float, lease: float) -> None:
        for name in accounts:
            account = self._accounts.get(name)
            if account is not None and hold in account.holds:
                account.holds[hold] = (account.holds[hold][0], lease)
                account.soonest = now
