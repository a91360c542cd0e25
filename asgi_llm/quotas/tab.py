"""What one request holds, until it is settled, and how its quotas stand."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from asgi_llm.stores.quotas import Balance, Charge, Demand

from .rules import Load, Rule, Used

__all__ = ["Entry", "Standing", "Tab"]


class Entry(Struct, frozen=True, gc=False):
    """One account that a request lies on, and how much it takes there; ``target`` is the leg that it is about, empty
    where the target does not matter."""

    rule: Rule
    account: str
    amount: int
    target: str

    def demand(self, now: float) -> Demand:
        rule, limit = self.rule, self.rule.settings.limit
        if rule.window is None:
            return Demand(self.account, self.amount, limit)
        span = rule.span(now)
        return Demand(self.account, self.amount, limit, span.first, span.slot, span.keep, rule.held)

    def charge(self, target: str, used: Used | None, now: float, more: Sequence[tuple[str, Used]] = ()) -> Charge:
        """What it is charged in the end, if ``target`` served the request, and others took ``more``. With None as
        ``used`` nobody knows what was, so all of it was. It goes into the window of now: what a long answer used was
        held until now."""
        rule = self.rule
        amount = 0
        if rule.window is not None and self.target in ("", target):
            amount = self.amount if used is None else rule.used(used)
        if more and rule.window is not None:
            amount += sum(rule.used(taken) for other, taken in more if self.target in ("", other))
        if not amount:
            return Charge(self.account, 0)
        span = rule.span(now)
        return Charge(self.account, amount, span.slot, span.keep)


class Standing(Struct, frozen=True, gc=False):
    """How a quota stands, this request included: what is left, and in how many seconds it is whole again (None:
    never, or nobody knows)."""

    rule: Rule
    left: int
    reset: float | None

    @classmethod
    def of(cls, entry: Entry, balance: Balance, now: float, *, refused: bool = False) -> "Standing":
        rule = entry.rule
        left = rule.settings.limit - balance.spent - balance.held - (0 if refused else entry.amount)
        return cls(rule, max(left, 0), None if rule.window is None else rule.span(now).reset - now)


class Tab:
    """What one request holds.

    Attributes:
        load: what it may come to.
        holds: what was reserved at once, under one name, each.
        began: when it was reserved, in seconds since the epoch.
    """

    __slots__ = ("_found", "_names", "began", "holds", "load", "name")

    def __init__(self, name: str, load: Load, began: float) -> None:
        self.name = name
        self.load = load
        self.began = began
        self.holds: dict[str, list[Entry]] = {}
        self._names = 0
        self._found: list[tuple[list[Entry], tuple[Balance, ...], float]] = []

    def next_name(self) -> str:
        """Of a further hold; none is given twice, for what became of the one before may not be known yet."""
        self._names += 1
        return f"{self.name}.{self._names}"

    def add(self, hold: str, entries: list[Entry], balances: tuple[Balance, ...], now: float) -> None:
        """``entries`` were reserved, where ``balances`` had been."""
        self.holds[hold] = entries
        self._found.append((entries, balances, now))

    @property
    def targets(self) -> set[str]:
        """Those whose own quotas were asked already."""
        return {entry.target for entries in self.holds.values() for entry in entries if entry.target}

    @property
    def standings(self) -> Iterable[Standing]:
        """Of its quotas, for the caller to see."""
        for entries, balances, now in self._found:
            for entry, balance in zip(entries, balances, strict=True):
                yield Standing.of(entry, balance, now)

    def charges(
        self, target: str, used: Used | None, now: float, more: Sequence[tuple[str, Used]] = ()
    ) -> Iterator[tuple[str, list[Charge]]]:
        """What each hold is settled with. What is spent at once left none behind."""
        for hold, entries in self.holds.items():
            charges = [entry.charge(target, used, now, more) for entry in entries if entry.rule.held]
            if charges:
                yield hold, charges
