"""The ledger: what was used, by whom, and what it cost."""

import datetime as dt
from typing import Any

from django.contrib import admin
from django.db.models import Count, F, Max, QuerySet
from django.db.models import Sum as SumOf
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from asgi_llm.metering.row import COUNTS
from asgi_llm_django.models import Usage
from asgi_llm_django.stores.ledger import summed, totals

from .base import ReadOnlyAdmin, dollars, moment
from .chart import Chart, chart
from .people import PeopleAdmin, names_of

__all__ = ["UsageAdmin"]

_DAYS = 60
"""Most days in a chart: the latest ones."""
_SPENDERS = 8
_INPUT = ("fresh", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "tool_prompt")


class UsageAdmin(PeopleAdmin[Usage], ReadOnlyAdmin[Usage]):
    change_list_template = "admin/asgi_llm/usage/change_list.html"
    date_hierarchy = "day"
    ordering = ("-at", "-id")
    list_display = ("when", "who", "tenant", "model", "target", "outcome", "input", "output", "price", "took")
    list_filter = ("outcome", "model", "target", "tenant", "endpoint", "cost_source", "estimated")
    search_fields = ("=id", "subject", "=key_id", "model", "served")
    search_help_text = "Subject or name of a user, model, or the id of a request or a key"
    list_per_page = 50

    class Media:
        css = {"all": ("asgi_llm/admin.css",)}  # noqa: RUF012  # Django's way to say it

    @admin.display(description="time", ordering="at")
    def when(self, row: Usage) -> str:
        return moment(row.at / 1000)

    @admin.display(description="input")
    def input(self, row: Usage) -> str:
        return f"{sum(getattr(row, name) or 0 for name in _INPUT):,}"

    @admin.display(description="output")
    def output(self, row: Usage) -> str:
        return f"{'~' if row.estimated else ''}{(row.visible or 0) + (row.reasoning or 0):,}"

    @admin.display(description="cost", ordering="cost")
    def price(self, row: Usage) -> str:
        return dollars(row.cost)

    @admin.display(description="took", ordering="total_ms")
    def took(self, row: Usage) -> str:
        return f"{row.total_ms / 1000:.1f} s"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response: HttpResponseBase = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context is not None and "cl" in context:
            found: QuerySet[Usage] = context["cl"].queryset.order_by()
            context |= {"totals": _totals(found), "charts": _charts(found), "spenders": self._spenders(found)}
        return response

    def _spenders(self, found: QuerySet[Usage]) -> list[tuple[str, str, str, str, int]]:
        """Who spends most: subject, name, requests, cost, and the part that is of the largest, in percent."""
        sums = found.values("subject").annotate(spend=SumOf("cost"), requests=Count("pk"))
        rows = list(sums.filter(spend__gt=0).order_by("-spend", "subject")[:_SPENDERS])
        names = names_of(row["subject"] for row in rows)
        return [
            (
                row["subject"],
                names[row["subject"]][1] if row["subject"] in names else row["subject"],
                f"{row['requests']:,}",
                dollars(row["spend"]),
                100 * row["spend"] // rows[0]["spend"],
            )
            for row in rows
        ]


def _totals(found: QuerySet[Usage]) -> list[tuple[str, str]]:
    total = summed((), found.aggregate(**totals()))
    return [
        ("requests", f"{total.requests:,}"),
        ("failed", f"{total.failed:,}"),
        ("input", f"{total.input:,}"),
        ("of it cached", f"{total.cache_read:,}"),
        ("output", f"{total.output:,}"),
        ("cost", dollars(total.cost)),
        ("of unknown cost", f"{total.unpriced:,}"),
    ]


def _charts(found: QuerySet[Usage]) -> list[Chart]:
    last = found.aggregate(last=Max("day"))["last"]
    if last is None:
        return []
    first = last - dt.timedelta(days=_DAYS - 1)
    rows = list(
        found.filter(day__gte=first)
        .values("day", "model")
        .annotate(spend=SumOf("cost"), **{f"all_{name}": SumOf(F(name)) for name in COUNTS if "audio" not in name})
    )
    begin = min(row["day"] for row in rows)
    days = [(begin + dt.timedelta(days=number)).isoformat() for number in range((last - begin).days + 1)]
    spend, tokens = {}, {}
    for row in rows:
        key = (row["day"].isoformat(), row["model"] or "none")
        spend[key] = row["spend"] or 0
        tokens[key] = sum(value or 0 for name, value in row.items() if name.startswith("all_"))
    made = (
        chart("Spend by day and model", days, spend, dollars),
        chart("Tokens by day and model", days, tokens, _short),
    )
    return [one for one in made if one is not None]


def _short(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
