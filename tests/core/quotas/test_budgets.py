"""Quotas that a host changes while the gateway runs: when it is asked, and what happens while it does not answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from asgi_llm import Identity, PolicyError
from asgi_llm.errors import StoreError
from asgi_llm.quotas.book import Book, QuotaError
from asgi_llm.quotas.budgets import FRESH, Budgets
from asgi_llm.quotas.rules import Load, Place, Rule, compile_rules
from asgi_llm.settings import QuotaSettings
from asgi_llm.stores.memory.quotas import MemoryQuotas

ANN = Identity(subject="ann")
HERE = Place("chat_completions", "m", "t")
LOAD = Load(10, 10, lambda _input, _output: 1)


def quota(name: str = "b", limit: int = 5, **more: Any) -> QuotaSettings:
    return QuotaSettings(name=name, limit=limit, **{"resource": "requests", "window": "lifetime", **more})


class Host:
    """Has budgets, and a clock."""

    def __init__(self, *given: QuotaSettings) -> None:
        self.given: Sequence[QuotaSettings] | Exception = given
        self.asked = 0
        self.now = 0.0

    async def all(self) -> Sequence[QuotaSettings]:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def budgets(self, *settled: QuotaSettings) -> Budgets:
        return Budgets(self, compile_rules(settled), lambda: self.now)

    def book(self, *settled: QuotaSettings) -> Book:
        rules = compile_rules(settled)
        tasks: list[Any] = []

        def spawn(work: Any, _name: str) -> None:
            tasks.append(asyncio.ensure_future(work))

        return Book(rules, MemoryQuotas(), spawn, budgets=Budgets(self, rules, lambda: self.now))


def told(rules: Sequence[Rule]) -> list[tuple[str, int]]:
    return [(rule.settings.name, rule.settings.limit) for rule in rules]


async def test_it_is_asked_every_few_seconds_of_use() -> None:
    host = Host(quota(limit=5))
    budgets = host.budgets(quota("s", 1))
    assert budgets.stale
    assert told(await budgets.refresh()) == [("s", 1), ("b", 5)]
    assert not budgets.stale
    host.given = [quota(limit=7)]
    host.now = FRESH
    assert budgets.stale
    assert told(await budgets.refresh()) == [("s", 1), ("b", 7)]


async def test_many_at_once_ask_once() -> None:
    host = Host(quota())
    budgets = host.budgets()
    found = await asyncio.gather(*(budgets.refresh() for _ in range(20)))
    assert {len(rules) for rules in found} == {1}
    assert host.asked == 1
    host.now = FRESH
    again = asyncio.ensure_future(budgets.refresh())
    await asyncio.sleep(0)
    assert not budgets.stale  # those who come meanwhile go on with what is known
    assert len(await again) == 1


async def test_what_is_known_stays_while_it_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(quota())
    budgets = host.budgets()
    await budgets.refresh()
    host.given, host.now = StoreError(), FRESH
    assert told(await budgets.refresh()) == [("b", 5)]
    assert "cannot be read" in caplog.text
    assert not budgets.stale


async def test_nothing_passes_before_it_has_answered_once() -> None:
    host = Host()
    host.given = StoreError()
    budgets = host.budgets()
    with pytest.raises(PolicyError) as refused:
        await budgets.refresh()
    assert refused.value.code == "quota_store_unavailable"
    host.given = []
    assert await budgets.refresh() == ()


async def test_a_name_is_one_quota(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(quota("s", 9), quota("b", 1), quota("b", 2))
    assert told(await host.budgets(quota("s", 1)).refresh()) == [("s", 1), ("b", 1)]
    assert "s is left out" in caplog.text
    many = Host(*(quota(f"q{number}") for number in range(2000)))
    assert len(await many.budgets().refresh()) == 1000


async def test_a_limit_that_changes_keeps_what_was_spent() -> None:
    host = Host(quota(limit=1))
    book = host.book()
    await book.refresh()
    assert await book.reserve("r1", ANN, HERE, LOAD) is not None
    with pytest.raises(QuotaError):
        await book.reserve("r2", ANN, HERE, LOAD)
    host.given, host.now = [quota(limit=2)], FRESH
    assert book.stale
    await book.refresh()
    assert await book.reserve("r3", ANN, HERE, LOAD) is not None
    with pytest.raises(QuotaError, match="of 2 requests"):
        await book.reserve("r4", ANN, HERE, LOAD)
    host.given, host.now = [], 2 * FRESH
    await book.refresh()
    assert await book.reserve("r5", ANN, HERE, LOAD) is None


async def test_whoever_runs_while_a_budget_goes_is_charged_what_it_cost() -> None:
    """The prices are still asked for, which the quota that is gone was about."""
    host = Host(quota(resource="cost"))
    book = host.book()
    await book.refresh()
    assert (book.priced, book.sized) == (True, True)
    host.given, host.now = [], FRESH
    await book.refresh()
    assert (book.priced, book.sized) == (True, True)
    assert book.rules == ()


@pytest.mark.parametrize(
    ("tenant", "concerned"), [("acme", False), ("acme-north", True), ("other", True)], ids=["out", "near", "in"]
)
def test_exceptions(tenant: str, concerned: bool) -> None:
    (rule,) = compile_rules([quota(match={"tenant": ["!acme"]})])
    assert bool(rule.accounts(Identity(subject="x", tenant=tenant), HERE)) is concerned
    (narrow,) = compile_rules([quota(match={"tenant": ["acme*", "!acme"]})])
    assert bool(narrow.accounts(Identity(subject="x", tenant=tenant), HERE)) is (tenant == "acme-north")


@pytest.mark.parametrize(
    ("roles", "concerned"), [((), True), (("beta",), True), (("staff",), False), (("beta", "staff"), False)]
)
def test_an_exception_for_a_role_is_for_whoever_has_it(roles: tuple[str, ...], concerned: bool) -> None:
    """And for nobody else: who has no role at all is limited, too."""
    (rule,) = compile_rules([quota(match={"role": ["!staff"]})])
    assert bool(rule.accounts(Identity(subject="x", roles=roles), HERE)) is concerned
    (keyed,) = compile_rules([quota(match={"key": ["!k"]})])
    assert keyed.accounts(Identity(subject="x"), HERE)
