"""What was spent of quotas, and what is held back for requests that run."""

from django.db import models

from .kinds import Number, Text, Time

__all__ = ["QuotaHold", "QuotaSpent"]


class QuotaSpent(models.Model):
    """What was spent in one slot of time of one account; it counts until ``keep``."""

    account: Text = models.CharField(max_length=320)
    slot: Number = models.BigIntegerField()
    amount: Number = models.BigIntegerField()
    keep: Time = models.FloatField(db_index=True)

    class Meta:
        verbose_name = "quota spent"
        verbose_name_plural = "quotas spent"
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="asgi_llm_spent_slot")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.account} {self.slot}"


class QuotaHold(models.Model):
    """What one request holds of one account, until it is settled or its lease is over."""

    hold: Text = models.CharField(max_length=128)
    account: Text = models.CharField(max_length=320)
    amount: Number = models.BigIntegerField()
    lease: Time = models.FloatField(db_index=True)

    class Meta:
        verbose_name = "quota hold"
        constraints = [models.UniqueConstraint(fields=["hold", "account"], name="asgi_llm_hold_account")]
        indexes = [models.Index(fields=["account", "lease"], name="asgi_llm_hold_lease")]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hold} {self.account}"
