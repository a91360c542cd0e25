"""Proofs of thought, by the tool calls that they stand before."""

from django.db import models

from .kinds import Bytes, Text, Time

__all__ = ["Signature"]


class Signature(models.Model):
    tenant: Text = models.CharField(max_length=255)
    subject: Text = models.CharField(max_length=255)
    call: Text = models.CharField(max_length=255)
    expires: Time = models.FloatField(db_index=True)
    data: Bytes = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["tenant", "subject", "call"], name="asgi_llm_signature_call")]

    def __str__(self) -> str:
        return self.call
