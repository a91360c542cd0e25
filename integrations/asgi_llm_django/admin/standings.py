"""How a quota stands: the accounts that have used most of it."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from django.db import router
from django.db.models import Q, Sum
from msgspec import Struct

from asgi_llm.quotas.rules import Rule
from asgi_llm.settings import QuotaSettings
from asgi_llm_django.models import Budget, QuotaHold, QuotaSpent

from .base import dollars
from .people import names_of, subjects_like

__all__ = ["MOST", "Group", "Standing", "about", "group_of"]

MOST = 100
"""Accounts of a quota that are shown."""
_USER = re.compile(r"user:[^,]+")
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
    whose = {account: unquote(account.removeprefix(f"{rule.prefix}/")) or "everybody" for account in spent | held}
    names = names_of(said for text in whose.values() for said in _USER.findall(text))
    standings = [
        Standing(
            account,
            _said(whose[account], names),
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
    wanted = Q(account__icontains=asked)
    for subject in subjects_like(asked) if asked else ():
        wanted |= Q(account__endswith=f"subject={subject}") | Q(account__contains=f"subject={subject},")
    held_rows = QuotaHold.objects.using(database).filter(wanted, **mine, lease__gt=now)
    held = dict(held_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:MOST])
    if rule.window is None:
        return {}, held
    spent_rows = QuotaSpent.objects.using(database).filter(wanted, **mine, slot__gte=rule.window.span(now).first)
    return dict(spent_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:MOST]), held


def about(quota: QuotaSettings) -> str:
    """Whose it is, in words."""
    said = [f"each {', '.join(quota.per)} for itself" if quota.per else "shared by all"]
    match = {name: getattr(quota.match, name) for name in type(quota.match).model_fields}
    return "; ".join(said + [f"{name}: {' '.join(globs)}" for name, globs in match.items() if globs])


def _said(whose: str, names: Mapping[str, tuple[Any, str]]) -> str:
    """``subject=user:1,tenant=acme`` for people; what is hashed stays as it is."""
    named = _USER.sub(lambda found: f"{names[found[0]][1]} ({found[0]})" if found[0] in names else found[0], whose)
    return named.replace("subject=", "").replace("=", " ").replace(",", ", ")


def _number(amount: int) -> str:
    return f"{amount:,}"


def _percent(amount: int, limit: int) -> int:
    return min(100, 100 * amount // limit) if limit else 100
