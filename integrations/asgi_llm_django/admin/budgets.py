"""How quotas stand: for each the accounts that are used most."""

import time
from typing import Any
from urllib.parse import unquote

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from msgspec import Struct

from asgi_llm.quotas.rules import Rule, compile_rules
from asgi_llm_django.models import Budget, QuotaHold, QuotaSpent
from asgi_llm_django.project import get_gateway

from .base import ReadOnlyAdmin, dollars

__all__ = ["BudgetAdmin"]

_MOST = 100
"""Accounts of a quota that are shown."""


class Standing(Struct, frozen=True):
    """One account. ``percent`` is of the limit."""

    account: str
    whose: str
    spent: str
    held: str
    percent: int


class Group(Struct, frozen=True):
    """One quota."""

    name: str
    limit: str
    span: str
    standings: list[Standing]


class BudgetAdmin(ReadOnlyAdmin[Budget]):
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Nothing can be edited, but what is spent can be given back.
        return super(ReadOnlyAdmin, self).has_change_permission(request, obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._give_back(request)
        settings, now = get_gateway().settings, time.time()
        asked = request.GET.get("q", "").strip()
        elsewhere = settings.state.address != "memory:"
        rules = () if elsewhere else compile_rules(settings.quotas)
        context = {
            **self.admin_site.each_context(request),
            "title": "Budgets",
            "opts": self.opts,
            "elsewhere": elsewhere,
            "groups": [_group(rule, asked, now) for rule in rules],
            "asked": asked,
            "most": _MOST,
            "may_change": self.has_change_permission(request),
        }
        return TemplateResponse(request, "asgi_llm/budgets.html", context)

    def _give_back(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        account = request.POST.get("account", "")
        rows = QuotaSpent.objects.using(router.db_for_write(QuotaSpent)).filter(account=account)
        row = Budget.objects.using(rows.db).filter(account=account).first()
        if row is not None:
            self.log_change(request, row, "Gave back what was spent.")
            rows.delete()
            self.message_user(request, f"What {account} has spent counts no more.")
        else:
            self.message_user(request, f"{account} has spent nothing.", messages.WARNING)
        return HttpResponseRedirect(request.get_full_path())


def _group(rule: Rule, asked: str, now: float) -> Group:
    settings, database = rule.settings, router.db_for_write(QuotaSpent)
    mine = {"account__startswith": f"{rule.prefix}/"}
    if asked:
        mine["account__icontains"] = asked
    held_rows = QuotaHold.objects.using(database).filter(**mine, lease__gt=now)
    held = dict(held_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:_MOST])
    spent: dict[str, int] = {}
    if rule.window is not None:
        spent_rows = QuotaSpent.objects.using(database).filter(**mine, slot__gte=rule.window.span(now).first)
        spent = dict(spent_rows.values_list("account").annotate(all=Sum("amount")).order_by("-all")[:_MOST])
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
    span = "at the same time" if settings.window is None else f"window: {settings.window}"
    noun = "" if settings.resource == "cost" else f" {settings.resource.replace('_', ' ')}"
    return Group(settings.name, f"{shown(settings.limit)}{noun}", span, standings[:_MOST])


def _number(amount: int) -> str:
    return f"{amount:,}"


def _percent(amount: int, limit: int) -> int:
    return min(100, 100 * amount // limit) if limit else 100
