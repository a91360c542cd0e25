"""Prices that the project's staff set; they come before those of the settings."""

from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db import models

from asgi_llm.settings import PriceSettings

from .kinds import Json, MaybeDay, MaybeMoney, Money, Number, Text
from .mistakes import by_field

__all__ = ["RATES", "Price"]

RATES = (
    "input", "output", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "reasoning", "audio_in",
    "audio_out",
)  # fmt: skip
"""Dollars for a million tokens each."""


def _rate(*, needed: bool = False, said: str = "") -> Any:
    return models.DecimalField(max_digits=18, decimal_places=9, null=not needed, blank=not needed, help_text=said)


class Price(models.Model):
    """What ``asgi_llm.settings.PriceSettings`` says. Of several that fit, that with the lowest ``rank`` is taken."""

    rank: Number = models.IntegerField(default=100, help_text="Of several that fit a request, the lowest is taken.")
    model: Text = models.CharField(max_length=255, help_text="The name at the target; * stands for anything.")
    target: Text = models.CharField(max_length=255, default="*", help_text="* stands for anything.")
    since: MaybeDay = models.DateField(null=True, blank=True, help_text="The first day on which it holds (UTC).")
    until: MaybeDay = models.DateField(
        null=True, blank=True, help_text="The first day on which it holds no more (UTC)."
    )
    input: Money = _rate(needed=True, said="Dollars for a million tokens, like all that follow.")
    output: Money = _rate(needed=True)
    cache_read: MaybeMoney = _rate(said="Where it is empty, as input; reasoning and audio: as output and input.")
    cache_write: MaybeMoney = _rate()
    cache_write_5m: MaybeMoney = _rate()
    cache_write_1h: MaybeMoney = _rate()
    reasoning: MaybeMoney = _rate()
    audio_in: MaybeMoney = _rate()
    audio_out: MaybeMoney = _rate()
    request: Money = models.DecimalField(
        max_digits=18, decimal_places=9, default=0, help_text="Dollars for each request, whatever its size."
    )
    tools: Json = models.JSONField(
        default=dict, blank=True, help_text='Dollars for each use: {"web_search_requests": 0.01}'
    )
    tiers: Json = models.JSONField(
        default=list, blank=True, help_text='For long inputs: [{"above": 200000, "input": 6, "output": 22.5}]'
    )
    note: Text = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["rank", "id"]
        indexes = [models.Index(fields=["rank"], name="asgi_llm_price_rank")]

    def __str__(self) -> str:
        return f"{self.model} at {self.target}"

    def clean(self) -> None:
        try:
            self.settings()
        except pydantic.ValidationError as error:
            raise ValidationError(by_field(error)) from None

    def settings(self) -> PriceSettings:
        """The same as the settings have it.

        Raises:
            pydantic.ValidationError: it cannot be.
        """
        given = {name: value for name in (*RATES, "since", "until") if (value := getattr(self, name)) is not None}
        fixed = {name: getattr(self, name) for name in ("model", "target", "request", "tools", "tiers")}
        return PriceSettings.model_validate({**given, **fixed})
