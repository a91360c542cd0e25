"""Prices of one's own."""

from typing import Any

from django.http import HttpRequest

from asgi_llm_django.models import Price

from .base import KeptAdmin

__all__ = ["PriceAdmin"]


class PriceAdmin(KeptAdmin[Price]):
    list_display = ("model", "target", "rank", "input", "output", "cache_read", "since", "until", "note")
    list_filter = ("target",)
    search_fields = ("model", "target", "note")
    fieldsets = (
        (None, {"fields": ("model", "target", "rank", "note", ("since", "until"))}),
        ("Dollars for a million tokens", {"fields": (("input", "output"), ("cache_read", "cache_write"))}),
        (
            "What differs",
            {
                "classes": ("collapse",),
                "fields": (
                    ("cache_write_5m", "cache_write_1h"),
                    ("reasoning", "audio_in", "audio_out"),
                    "request",
                    "tools",
                    "tiers",
                ),
            },
        ),
    )

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        self.message_user(request, "It counts within 30 seconds, for requests that end from then on.")
