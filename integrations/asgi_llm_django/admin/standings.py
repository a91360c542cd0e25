"""How a quota stands: the accounts that have used most of it."""

from urllib.parse import unquote

from django.db import router
from django.db.models import Sum
from msgspec import Struct

from asgi_llm.quotas.rules import Rule
from asgi_llm.settings import QuotaSettings
from asgi_llm_django.models import Budget, QuotaHold, QuotaSpent

from .base import dollars

__all__ = ["MOST", "Group", "Standing", "about", "group_of"]

MOST = 100
"""Accounts of a quota that are shown."""
_SPANS = {None: "at the same time", "day": "a day", "month": "a month", "lifetime": "in all"}


class Standing(Struct, frozen=True):
    """One account. ``percent`` is of the limit."""

    account: str
    whose: str
    spent: str
    held: str
    percent: int


class Group(Struct, frozen=True):
    """One quota; ``row`` is None where it is of the settings."""

    name: str
    limit: str
    about: str
    row: Budget | None
    standings: list[Standing]


def group_of(rule: Rule, asked: str, now: float, row: Budget | None = None, *, counted: bool = True) -> Group:
    """``asked`` narrows the accounts. Not ``counted``: what was spent is not in this database."""
    settings = rule.settings
    spent, held = _accounts(rule, asked, now) if counted else ({}, {})
    shown = dollars if settings.resource == "cost" else _number
    standings = [
        Standing(
            account,
            unquote(account.removeprefix(f"{rule.prefix}/")) or "everybody",
            shown(spent.get(account, 0)),
            shown(held.get(account, 0)),
            _percent(spent.get(account, 0) + held.get(account, 0), settings.limit),
        )
        for account in sorted(spent | held, key=lambda name: (-spent.get(name, 0) - held.get(name, 0), name))
    ]
    noun = "" if settings.resource in ("cost", "concurrency") else f" {settings.resource.replace('_', ' ')}"
    span = _SPANS.get(settings.window) or f"in {settings.window:g} seconds"  # type: ignore[arg-type]  # a number is not among them
    noun = " requests" if settings.resource == "concurrency" else noun
    return Group(settings.name, f"{shown(settings.limit)}{noun} {span}", about(settings), row, standings[:MOST])


def _accounts(rule: Rule, asked: str, now: float) -> tuple[dict[str, int], dict[str, int]]:
    """What is spent in each account, and what is held."""
    database = router.db_for_write(QuotaSpent)
    mine = {"account__startswith": f"{rule.prefix}/"}
    if asked:
        mine["account__icontains"] = asked
    held_rows = QuotaHold.objects.using(database).filter(**mine, lease__gt=now)
    held = dict(held_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:MOST])
    if rule.window is None:
        return {}, held
    spent_rows = QuotaSpent.objects.using(database).filter(**mine, slot__gte=rule.window.span(now).first)
    return dict(spent_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:MOST]), held


def about(quota: QuotaSettings) -> str:
    """Whose it is, in words."""
    said = [f"each {', '.join(quota.per)} for itself" if quota.per else "shared by all"]
    match = {name: getattr(quota.match, name) for name in type(quota.match).model_fields}
    return "; ".join(said + [f"{name}: {' '.join(globs)}" for name, globs in match.items() if globs])


def _number(amount: int) -> str:
    return f"{amount:,}"


def _percent(amount: int, limit: int) -> int:
    return min(100, 100 * amount // limit) if limit else 100
