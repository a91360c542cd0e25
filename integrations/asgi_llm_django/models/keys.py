"""Keys that the gateway issued."""

from django.db import models as orm

from .kinds import Bytes, Json, MaybeText, MaybeTime, Text, Time

__all__ = ["APIKey"]


class APIKey(orm.Model):
    """What ``asgi_llm.stores.keys.IssuedKey`` says, and nothing that would help a thief."""

    id: Text = orm.CharField(max_length=64, primary_key=True)
    digest: Bytes = orm.BinaryField(max_length=32)
    tenant: Text = orm.CharField(max_length=255)
    subject: Text = orm.CharField(max_length=255)
    name: Text = orm.CharField(max_length=255, blank=True)
    roles: Json = orm.JSONField(default=list, blank=True)
    endpoints: Json = orm.JSONField(default=list, blank=True)
    models: Json = orm.JSONField(default=list, blank=True)
    targets: Json = orm.JSONField(default=list, blank=True)
    created: Time = orm.FloatField()
    expires: MaybeTime = orm.FloatField(null=True, blank=True)
    revoked: MaybeTime = orm.FloatField(null=True, blank=True)
    used: MaybeTime = orm.FloatField(null=True, blank=True)
    replaces: MaybeText = orm.CharField(max_length=64, null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        indexes = [orm.Index(fields=["tenant", "-created"], name="asgi_llm_key_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.name else self.id
