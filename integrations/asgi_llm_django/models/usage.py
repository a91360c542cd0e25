"""The ledger: a row for each request."""

from typing import Any

from django.db import models

from .kinds import Day, Flag, MaybeNumber, MaybeText, Number, Text

__all__ = ["Usage"]


def _name(length: int, *, needed: bool = False) -> Any:
    return models.CharField(max_length=length, null=not needed, blank=not needed)


def _count() -> Any:
    return models.BigIntegerField(null=True, blank=True)


class Usage(models.Model):
    """What ``asgi_llm.metering.row.Row`` says. Written once, never changed. ``at`` is milliseconds since the epoch;
    ``day`` is that day in UTC, by which is grouped."""

    id: Text = models.CharField(max_length=255, primary_key=True)
    at: Number = models.BigIntegerField()
    day: Day = models.DateField()
    tenant: Text = models.TextField()
    subject: Text = models.TextField()
    key_id: MaybeText = _name(255)
    endpoint: Text = models.CharField(max_length=255)
    dialect: Text = models.CharField(max_length=64)
    upstream_dialect: MaybeText = _name(64)
    mode: MaybeText = _name(64)
    stream: Flag = models.BooleanField(default=False)
    model: MaybeText = models.TextField(null=True, blank=True)
    served: MaybeText = models.TextField(null=True, blank=True)
    target: MaybeText = models.TextField(null=True, blank=True)
    worker: MaybeText = models.TextField(null=True, blank=True)
    attempts: Number = models.IntegerField(default=0)
    status: Number = models.IntegerField(default=0)
    outcome: Text = models.CharField(max_length=64)
    error: MaybeText = models.TextField(null=True, blank=True)
    finish: MaybeText = models.TextField(null=True, blank=True)
    fresh: MaybeNumber = _count()
    cache_read: MaybeNumber = _count()
    cache_write: MaybeNumber = _count()
    cache_write_5m: MaybeNumber = _count()
    cache_write_1h: MaybeNumber = _count()
    visible: MaybeNumber = _count()
    reasoning: MaybeNumber = _count()
    tool_prompt: MaybeNumber = _count()
    audio_in: MaybeNumber = _count()
    audio_out: MaybeNumber = _count()
    server_tools: MaybeText = models.TextField(null=True, blank=True)
    estimated: Flag = models.BooleanField(default=False)
    cost: MaybeNumber = _count()
    cost_source: MaybeText = _name(64)
    market: MaybeNumber = _count()
    reported: MaybeNumber = _count()
    flags: Text = models.TextField(blank=True, default="[]")
    first_byte_ms: MaybeNumber = _count()
    total_ms: Number = models.BigIntegerField(default=0)
    tools_offered: MaybeText = models.TextField(null=True, blank=True)
    tools_used: MaybeText = models.TextField(null=True, blank=True)
    warnings: Text = models.TextField(blank=True, default="[]")

    class Meta:
        verbose_name = "request"
        verbose_name_plural = "usage"
        indexes = [
            models.Index(fields=["at", "id"], name="asgi_llm_usage_at"),
            models.Index(fields=["day"], name="asgi_llm_usage_day"),
            models.Index(fields=["tenant", "subject", "at"], name="asgi_llm_usage_owner"),
        ]

    def __str__(self) -> str:
        return self.id
