"""Quotas that the project's staff set; they count beside those of the settings."""

from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db import models

from asgi_llm.settings import QuotaSettings

from .kinds import Flag, Json, Number, Text
from .mistakes import by_field

__all__ = ["Budget"]

_RESOURCES = {
    "cost": "money", "requests": "requests", "tokens": "tokens", "input_tokens": "tokens of input",
    "output_tokens": "tokens of output", "concurrency": "requests at the same time",
}  # fmt: skip
_FAILING = {"closed": "requests are refused", "open": "requests pass"}
_UNPRICED = {"refuse": "are refused", "free": "cost nothing"}


class Budget(models.Model):
    """What ``asgi_llm.settings.QuotaSettings`` says. ``limit`` is in micro-dollars where it is money; ``window`` is
    empty, a number of seconds, or the name of one."""

    name: Text = models.CharField(max_length=128, unique=True)
    active: Flag = models.BooleanField(default=True)
    resource: Text = models.CharField("what", max_length=16, choices=_RESOURCES, default="cost")
    limit: Number = models.BigIntegerField()
    window: Text = models.CharField(max_length=32, blank=True, default="month")
    timezone: Text = models.CharField(max_length=64, default="UTC")
    per: Json = models.JSONField(default=list, blank=True)
    match: Json = models.JSONField(default=dict, blank=True)
    output: Number = models.BigIntegerField(default=4096)
    on_store_failure: Text = models.CharField(
        "while the database is down", max_length=8, choices=_FAILING, default="closed"
    )
    unpriced: Text = models.CharField("models of unknown price", max_length=8, choices=_UNPRICED, default="refuse")
    note: Text = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            self.settings()
        except pydantic.ValidationError as error:
            raise ValidationError(by_field(error, below="match")) from None

    def settings(self) -> QuotaSettings:
        """The same as the settings have it.

        Raises:
            pydantic.ValidationError: it cannot be.
        """
        names = ("name", "resource", "limit", "timezone", "per", "match", "output", "on_store_failure", "unpriced")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        return QuotaSettings.model_validate({**given, "window": self.window or None})
