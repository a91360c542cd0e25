"""Budgets: made, changed, and how they stand; with them the quotas of the settings, which only the settings change."""

import time
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from asgi_llm.quotas.budgets import FRESH
from asgi_llm.quotas.rules import compile_rules
from asgi_llm.settings import QuotaMatch
from asgi_llm_django.models import Budget, QuotaSpent
from asgi_llm_django.project import get_gateway

from .base import KeptAdmin, dollars
from .standings import MOST, Group, about, group_of

__all__ = ["BudgetAdmin"]

_WINDOWS = {
    "month": "a month of the calendar",
    "day": "a day of the calendar",
    "lifetime": "in all, for ever",
    "60": "the last minute",
    "3600": "the last hour",
    "86400": "the last 24 hours",
    "": "at the same time",
}
_WHO = tuple(QuotaMatch.model_fields)
_MICRO = 1_000_000


class BudgetForm(forms.ModelForm):  # type: ignore[type-arg]  # it cannot be subscripted at run time
    """The limit is in dollars where it is money."""

    name = forms.CharField(
        max_length=128, help_text="Told to callers who meet the limit. Under another, it begins anew."
    )
    active = forms.BooleanField(required=False, initial=True, help_text="Unmark it to lift the limit for now.")
    limit = forms.DecimalField(
        min_value=0, decimal_places=6, help_text="Dollars where it is money. A change leaves what was spent as it is."
    )
    window = forms.ChoiceField(required=False, initial="month")
    timezone = forms.CharField(max_length=64, help_text="Of days and months, as in Europe/Oslo.")
    per = forms.MultipleChoiceField(
        label="for each",
        required=False,
        choices=[(name, name) for name in ("tenant", "subject", "key", "role", "model", "target")],
        widget=forms.CheckboxSelectMultiple,
        help_text="Each of these, or each combination, has the limit for itself. None: all share it.",
    )
    output = forms.IntegerField(
        min_value=1, initial=4096, help_text="Tokens held back for an answer whose request does not limit it."
    )
    # What it is about: these are in one column.
    tenant = forms.CharField(required=False)
    subject = forms.CharField(required=False)
    key = forms.CharField(required=False, help_text="The id of an API key.")
    role = forms.CharField(required=False)
    model = forms.CharField(required=False, help_text="As callers name it.")
    target = forms.CharField(required=False)
    endpoint = forms.CharField(required=False)

    class Meta:
        model = Budget
        fields = (
            "name", "active", "resource", "limit", "window", "timezone", "per", "output", "on_store_failure",
            "unpriced", "note",
        )  # fmt: skip

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        row: Budget = self.instance
        shown: dict[str, Any] = dict(_WINDOWS)
        shown.setdefault(row.window, f"the last {row.window} seconds")
        self.fields["window"].choices = list(shown.items())  # type: ignore[attr-defined]  # it is a ChoiceField
        if row.pk is None:
            self.initial["timezone"] = timezone.get_default_timezone_name()
        else:
            self.initial["limit"] = _shown(row)
            self.initial.update({name: " ".join(row.match.get(name, ())) for name in _WHO})

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        money = cleaned.get("resource") == "cost"
        if (limit := cleaned.get("limit")) is not None:
            if not money and limit % 1:
                self.add_error("limit", "must be a whole number where it is not money")
            cleaned["limit"] = int(limit * _MICRO) if money else int(limit)
        if cleaned.get("resource") == "concurrency":
            cleaned["window"] = ""
        if any(cleaned.get("name") == quota.name for quota in get_gateway().settings.quotas):
            self.add_error("name", "is the name of a quota of the settings")
        self.instance.match = {name: said for name in _WHO if (said := (cleaned.get(name) or "").split())}
        return cleaned


class BudgetAdmin(KeptAdmin[Budget]):
    form = BudgetForm
    fieldsets = (
        (None, {"fields": ("name", "active", ("resource", "limit", "window"), "timezone", "note")}),
        (
            "Whose",
            {
                "fields": ("per", ("tenant", "subject", "key"), ("role", "model", "target", "endpoint")),
                "description": "Globs, separated by spaces: one of each line must match, and none behind a !, "
                "as in gpt-* !gpt-*-mini. Empty: all.",
            },
        ),
        ("Details", {"classes": ("collapse",), "fields": ("output", "on_store_failure", "unpriced")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ("name", "active", "resource", "amount", "window", "timezone", "whose", "note")})]

    @admin.display(description="limit")
    def amount(self, row: Budget) -> str:
        return dollars(row.limit) if row.resource == "cost" else f"{row.limit:,}"

    @admin.display(description="whose")
    def whose(self, row: Budget) -> str:
        return about(row.settings())

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._give_back(request)
        asked = request.GET.get("q", "").strip()
        elsewhere = get_gateway().settings.state.address != "memory:"
        context = {
            **self.admin_site.each_context(request),
            "title": "Budgets",
            "opts": self.opts,
            "elsewhere": elsewhere,
            "groups": self._groups(request, asked, counted=not elsewhere),
            "asked": asked,
            "most": MOST,
            "may_change": self.has_change_permission(request),
            "may_add": self.has_add_permission(request),
        }
        return TemplateResponse(request, "asgi_llm/budgets.html", context)

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self.message_user(request, f"It counts within {FRESH:g} seconds, in all processes.")

    def _groups(self, request: HttpRequest, asked: str, *, counted: bool) -> list[Group]:
        now = time.time()
        rows = list(self.get_queryset(request))
        rules = compile_rules(row.settings() for row in rows)
        groups = [group_of(rule, asked, now, row, counted=counted) for rule, row in zip(rules, rows, strict=True)]
        fixed = compile_rules(get_gateway().settings.quotas)
        return groups + [group_of(rule, asked, now, counted=counted) for rule in fixed]

    def _give_back(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        account = request.POST.get("account", "")
        rows = QuotaSpent.objects.using(router.db_for_write(QuotaSpent)).filter(account=account)
        row = rows.first()
        if row is not None:
            self.log_change(request, row, f"Gave back what {account} had spent.")  # type: ignore[arg-type]  # any model
            rows.delete()
            self.message_user(request, f"What {account} has spent counts no more.")
        else:
            self.message_user(request, f"{account} has spent nothing.", messages.WARNING)
        return HttpResponseRedirect(request.get_full_path())


def _shown(row: Budget) -> Decimal:
    return Decimal(row.limit) / _MICRO if row.resource == "cost" else Decimal(row.limit)
