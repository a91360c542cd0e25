"""What one request holds, until it is settled, and how its quotas stand."""

from collections.abc import Iterator

from msgspec import Struct

from asgi_llm.stores.quotas import Balance

from .rules import Load, Rule, Used

__all__ = ["Entry", "Standing", "Tab"]


class Entry(Struct, frozen=True, gc=False):
    """One account that a request lies on, and how much it takes there; ``target`` is the leg that it is about, empty
    where the target does not matter."""

    rule: Rule
    account: str
    amount: int
    target: str

    @property
    def held(self) -> bool:
        """Requests are spent when they begin: one that runs for long is not counted for longer."""
        return self.rule.settings.resource != "requests"


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
        return cls(rule, max(left, 0), None if rule.window is None else rule.window.span(now).reset - now)


class Tab:
    """What one request holds.

    Attributes:
        load: what it may come to.
        holds: what was reserved at once, under one name, each.
        standings: of its quotas, for the caller to see.
        began: when it was reserved, in seconds since the epoch.
    """

    __slots__ = ("began", "holds", "load", "name", "standings")

    def __init__(self, name: str, load: Load, began: float) -> None:
        self.name = name
        self.load = load
        self.began = began
        self.holds: dict[str, list[Entry]] = {}
        self.standings: list[Standing] = []

    @property
    def targets(self) -> set[str]:
        """Those whose own quotas were asked already."""
        return {entry.target for entries in self.holds.values() for entry in entries if entry.target}

    def charges(self, entries: list[Entry], target: str, used: Used | None) -> Iterator[tuple[Entry, int]]:
        """What each entry is charged in the end, if ``target`` served the request. With None as ``used`` nobody knows
        what was, so all of it was."""
        for entry in entries:
            if not entry.held or entry.rule.window is None or entry.target not in ("", target):
                yield entry, 0
            else:
                yield entry, entry.amount if used is None else entry.rule.used(used)
