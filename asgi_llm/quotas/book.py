"""Reserving, renewing and settling, against a store that may fail: one event loop's share of it.

What settles is queued and written by a task that lives while there is something to write, so that a request waits for
no store when it ends; what cannot be written is tried again. Nothing is kept beyond ``_QUEUE`` settlements. A store
that never waits is asked and told at once.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from asgi_llm.errors import Kind, PolicyError
from asgi_llm.identity import Identity
from asgi_llm.metering.windows import wait
from asgi_llm.neutral.request import DialectName
from asgi_llm.stores.quotas import Charge, InstantQuotas, QuotaStore, Verdict
from asgi_llm.types import Headers

from .budgets import Budgets, unavailable
from .headers import rate_headers
from .rules import Load, Place, Rule, Used
from .tab import Entry, Standing, Tab

__all__ = ["LEASE", "Book", "QuotaError"]

logger = logging.getLogger("asgi_llm.quotas")

LEASE = 60.0
"""Seconds for which a hold outlives a process that renews it no more."""
_RENEW = LEASE / 3
_PATIENCE = 30.0
"""Seconds after which an answer of the store is not waited for, whatever time limits it has itself."""
_QUEUE = 100_000
_ABREAST = 8
"""Settlements that are written at the same time."""
_PAUSES = (0.2, 1.0, 5.0, 10.0)
_QUIET = 30.0
"""Seconds between two lines in the log about a store that does not answer."""

Spawn = Callable[[Coroutine[Any, Any, None], str], object]
Clock = Callable[[], float]
_Claims = tuple[tuple[Rule, str, str], ...]
"""What a request lies on, whatever it takes: a rule, the account, and the target that it is about, or nothing."""
_KNOWN = 4096
"""So many callers' claims are remembered: to work them out takes longer than all the rest."""


class QuotaError(PolicyError):
    """A quota is used up.

    Attributes:
        of_target: it is the target's own, so that another leg may serve the request.
        standings: of all quotas that were looked at, at ``now``, in seconds since the epoch.
    """

    def __init__(
        self, message: str, retry_after: float | None, standings: list[Standing], now: float, *, of_target: bool
    ) -> None:
        super().__init__(message, kind=Kind.RATE_LIMIT, code="quota_exceeded", retry_after=retry_after)
        self.of_target = of_target
        self.standings = standings
        self.now = now

    def headers(self, dialect: DialectName) -> Headers:
        """What clients of ``dialect`` go by beside the status; where waiting does not help, they are told so."""
        headers = rate_headers(dialect, self.standings, self.now)
        return headers if self.retry_after is not None else [*headers, (b"x-should-retry", b"false")]


class Book:
    """The quotas of one event loop.

    Args:
        rules: what is limited.
        store: where it is counted.
        spawn: runs a coroutine in a task that is waited for at shutdown.
        clock: seconds since the epoch.
        budgets: further rules, which change.

    Attributes:
        rules: what is limited now.
        priced: whether a quota is on money.
        sized: whether a quota goes by the size of a request.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        store: QuotaStore,
        spawn: Spawn,
        clock: Clock = time.time,
        budgets: Budgets | None = None,
    ) -> None:
        self.priced = self.sized = False
        self._follow(tuple(rules))
        self._budgets = budgets
        self._store = store
        self._spawn = spawn
        self._clock = clock
        self._instant = store if isinstance(store, InstantQuotas) else None
        self._open: dict[str, Tab] = {}
        self._due: deque[tuple[str, list[Charge]]] = deque()
        self._writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._complained = float("-inf")

    @property
    def stale(self) -> bool:
        """Whether it is time to look which rules there are."""
        return self._budgets is not None and self._budgets.stale

    async def refresh(self) -> None:
        """Looks which rules there are.

        Raises:
            PolicyError: nobody can tell.
        """
        if self._budgets is not None:
            rules = await self._budgets.refresh()
            if rules is not self.rules:
                self._follow(rules)

    def _follow(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._known: dict[tuple[object, ...], _Claims] = {}
        # Once so, always so: requests that run may still be on a quota that is gone.
        self.priced |= any(rule.settings.resource == "cost" for rule in rules)
        self.sized |= any(rule.settings.resource not in ("requests", "concurrency") for rule in rules)

    async def reserve(self, name: str, identity: Identity, place: Place, load: Load) -> Tab | None:
        """Reserves on every account at once for a request called ``name``; None where no quota is about it, or where
        the store failed and that is to be let pass.

        Raises:
            QuotaError: a quota is used up.
            PolicyError: the store cannot be asked, or the price is not known, and that is not to be let pass.
        """
        claims = self._claims(identity, place)
        if not claims:
            return None
        entries = _entries(claims, place, load)
        tab = Tab(name, load, self._clock())
        return tab if await self._reserve(tab, name, entries) else None

    async def reserve_leg(self, tab: Tab, identity: Identity, place: Place) -> bool:
        """Reserves what is the target's own, for a leg that was not the first; whether it may be used."""
        if place.target in tab.targets:
            return True
        claims = [claim for claim in self._claims(identity, place) if claim[0].by_target]
        if not claims:
            return True
        try:
            entries = _entries(claims, place, tab.load)
            await self._reserve(tab, tab.next_name(), entries)
        except PolicyError:
            return False
        return True

    def settle(self, tab: Tab, target: str, used: Used | None, more: Sequence[tuple[str, Used]] = ()) -> None:
        """The request is over: ``target`` served it and ``used`` is what it came to; None where nobody knows. ``more``
        is what came to it at targets that did not."""
        self._open.pop(tab.name, None)
        now = self._clock()
        for hold, charges in tab.charges(target, used, now, more):
            if self._instant is not None:
                self._instant.settle_now(hold, charges, now)
            else:
                self._enqueue(hold, charges)

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._due:
            logger.error("%d settlements of quotas could not be written and are lost", len(self._due))
        await self._store.aclose()

    def _claims(self, identity: Identity, place: Place) -> _Claims:
        key = (identity.tenant, identity.subject, identity.key_id, identity.roles, place)
        claims = self._known.get(key)
        if claims is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            claims = self._known[key] = tuple(
                (rule, account, place.target if rule.by_target else "")
                for rule in self.rules
                for account in rule.accounts(identity, place)
            )
        return claims

    async def _reserve(self, tab: Tab, hold: str, entries: list[Entry]) -> bool:
        now = self._clock()
        demands = [entry.demand(now) for entry in entries]
        if self._instant is not None:
            verdict = self._instant.reserve_now(hold, demands, now, now + LEASE)
        else:
            try:
                async with asyncio.timeout(_PATIENCE):
                    verdict = await self._store.reserve(hold, demands, now, now + LEASE)
            except asyncio.CancelledError:
                self._forget(hold, entries)
                raise
            except Exception as error:  # noqa: BLE001  # whatever a driver raises, the settings say what follows
                self._complain(error)
                self._forget(hold, entries)
                self._let_pass(entries)
                return False
        if verdict.refused is not None:
            raise _refusal(entries, verdict, now)
        tab.add(hold, entries, verdict.balances, now)
        self._open[tab.name] = tab
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_RENEW, self._begin_renewal)
        return True

    def _forget(self, hold: str, entries: list[Entry]) -> None:
        """Nobody knows whether the store did it, so it is undone."""
        self._enqueue(hold, [Charge(entry.account, 0) for entry in entries if entry.rule.held])

    def _let_pass(self, entries: list[Entry]) -> None:
        closed = next((entry.rule for entry in entries if entry.rule.settings.on_store_failure == "closed"), None)
        if closed is not None:
            raise unavailable() from None

    def _complain(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._complained >= _QUIET:
            self._complained = now
            logger.error("the store of the quotas does not answer: %s", type(error).__name__, exc_info=error)

    # Settling.

    def _enqueue(self, hold: str, charges: list[Charge]) -> None:
        if not charges:
            return
        if len(self._due) >= _QUEUE:
            self._due.popleft()
            logger.error("too many settlements of quotas wait for the store; the oldest is given up")
        self._due.append((hold, charges))
        if not self._writing:
            self._writing = True
            self._spawn(self._write(), "quota settlement")

    async def _write(self) -> None:
        failures = 0
        try:
            while self._due:
                batch = [self._due.popleft() for _ in range(min(_ABREAST, len(self._due)))]
                done = await asyncio.gather(*(self._settle(hold, charges) for hold, charges in batch))
                left = [item for item, well in zip(batch, done, strict=True) if not well]
                if left:
                    self._due.extendleft(reversed(left))
                    await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures = failures + 1 if left else 0
        finally:
            self._writing = False

    async def _settle(self, hold: str, charges: list[Charge]) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.settle(hold, charges, self._clock())
        except Exception as error:  # noqa: BLE001  # it is tried again
            self._complain(error)
            return False
        return True

    # Renewing.

    def _begin_renewal(self) -> None:
        self._timer = None
        if self._open:
            self._timer = asyncio.get_running_loop().call_later(_RENEW, self._begin_renewal)
            self._spawn(self.renew(), "quota renewal")

    async def renew(self) -> None:
        """Renews the lease of every hold of a request that runs."""
        now = self._clock()
        holds = {
            hold: [entry.account for entry in entries if entry.rule.held]
            for tab in self._open.values()
            for hold, entries in tab.holds.items()
        }
        try:
            async with asyncio.timeout(_RENEW):
                await self._store.renew(
                    {hold: accounts for hold, accounts in holds.items() if accounts}, now, now + LEASE
                )
        except Exception as error:  # noqa: BLE001  # the next renewal may come through
            self._complain(error)


def _entries(claims: Iterable[tuple[Rule, str, str]], place: Place, load: Load) -> list[Entry]:
    """What is to be reserved.

    Raises:
        PolicyError: nobody knows the price, and that is not to be let pass.
    """
    entries, amounts = [], dict[Rule, int]()
    for rule, account, target in claims:
        amount = amounts.get(rule)
        if amount is None:
            amounts[rule] = amount = _amount(rule, place, load)
        entries.append(Entry(rule, account, amount, target))
    return entries


def _amount(rule: Rule, place: Place, load: Load) -> int:
    amount = rule.reserved(load)
    if amount is None:
        if rule.settings.unpriced == "refuse":
            raise _unpriced(rule, place.model)
        logger.warning("quota %s counts model %s as free: its price is not known", rule.settings.name, place.model)
        amount = 0
    return amount


def _refusal(entries: list[Entry], verdict: Verdict, now: float) -> QuotaError:
    assert verdict.refused is not None  # noqa: S101  # asked by the caller
    pairs = zip(entries, verdict.balances, strict=False)
    standings = [Standing.of(entry, balance, now, refused=True) for entry, balance in pairs]
    entry, balance = entries[verdict.refused], verdict.balances[verdict.refused]
    after = _retry_after(entry, balance.spent, verdict.slots, now)
    words = _words(entry, balance.spent + balance.held)
    return QuotaError(words, after, standings, now, of_target=bool(entry.target))


_NOUNS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cost": "micro-dollars",
    "concurrency": "requests at the same time",
}


def _words(entry: Entry, taken: int) -> str:
    settings = entry.rule.settings
    noun, window = _NOUNS[settings.resource], settings.window
    span = {None: "", "day": " a day", "month": " a month", "lifetime": " in all"}.get(window)  # type: ignore[arg-type]  # a number is not among them
    if span is None:
        span = f" in {window:g} seconds"
    quota = f'quota "{settings.name}" of {settings.limit} {noun}{span}'
    if entry.amount > settings.limit > 0:
        return f"{quota} is too small: this request alone may take {entry.amount}; send less, or ask for less output"
    told = f"{quota} is used up"
    if settings.resource in ("requests", "concurrency"):
        return told
    return f"{told}: {max(settings.limit - taken, 0)} are left and this request may take {entry.amount}"


_SOON = 1.0
"""Seconds to wait for what is only held: it comes back when other requests end, nobody knows when."""


def _retry_after(entry: Entry, spent: int, slots: Iterable[tuple[int, int]], now: float) -> float | None:
    """Seconds; None where waiting does not help."""
    window, limit = entry.rule.window, entry.rule.settings.limit
    if entry.amount > limit:
        return None
    excess = spent + entry.amount - limit
    return _SOON if window is None or excess <= 0 else wait(window, slots, excess, now)


def _unpriced(rule: Rule, model: str) -> PolicyError:
    return PolicyError(
        f'the price of model "{model[:200]}" is not known, and quota "{rule.settings.name}" needs it',
        kind=Kind.PERMISSION,
        code="price_unknown",
        param="model",
    )
