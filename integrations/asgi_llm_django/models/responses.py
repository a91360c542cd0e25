"""Stored responses and conversations. ``data`` is the gateway's, and may be encrypted."""

from django.db import models

from .kinds import Bytes, MaybeText, Number, Text, Time

__all__ = ["Conversation", "ConversationItem", "Response", "ResponseEvent", "ResponseItem"]

_ID = 255


class _Owned(models.Model):
    tenant: Text = models.CharField(max_length=255)
    subject: Text = models.CharField(max_length=255)

    class Meta:
        abstract = True


class Response(_Owned):
    """See ``asgi_llm.stores.responses.ResponseRow``; ``name`` is its id."""

    name: Text = models.CharField("id", max_length=_ID)
    created: Time = models.FloatField()
    expires: Time = models.FloatField(db_index=True)
    status: Text = models.CharField(max_length=16)
    parent: MaybeText = models.CharField(max_length=_ID, null=True, blank=True)
    conversation: MaybeText = models.CharField(max_length=_ID, null=True, blank=True)
    lease: Time = models.FloatField(default=0.0)
    data: Bytes = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "subject", "name"], name="asgi_llm_response_name")]
        indexes = [
            models.Index(fields=["status", "lease"], name="asgi_llm_response_lease"),
            models.Index(fields=["created"], name="asgi_llm_response_created"),
        ]

    def __str__(self) -> str:
        return self.name


class ResponseItem(_Owned):
    """Which response holds an item."""

    name: Text = models.CharField(max_length=_ID)
    response: "models.ForeignKey[Response, Response]" = models.ForeignKey(
        Response, models.CASCADE, related_name="items", db_index=False
    )

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["response", "name"], name="asgi_llm_item_response")]
        indexes = [models.Index(fields=["tenant", "subject", "name"], name="asgi_llm_item_name")]

    def __str__(self) -> str:
        return self.name


class ResponseEvent(models.Model):
    """An event in the log of a response that ran in the background."""

    response: "models.ForeignKey[Response, Response]" = models.ForeignKey(
        Response, models.CASCADE, related_name="events", db_index=False
    )
    number: Number = models.BigIntegerField()
    data: Bytes = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["response", "number"], name="asgi_llm_event_number")]

    def __str__(self) -> str:
        return str(self.number)


class Conversation(_Owned):
    """See ``asgi_llm.stores.responses.ConversationRow``; ``name`` is its id, ``length`` the place of its next item."""

    name: Text = models.CharField("id", max_length=_ID)
    created: Time = models.FloatField()
    expires: Time = models.FloatField(db_index=True)
    length: Number = models.BigIntegerField(default=0)
    data: Bytes = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "subject", "name"], name="asgi_llm_conversation_name")]

    def __str__(self) -> str:
        return self.name


class ConversationItem(models.Model):
    conversation: "models.ForeignKey[Conversation, Conversation]" = models.ForeignKey(
        Conversation, models.CASCADE, related_name="items", db_index=False
    )
    name: Text = models.CharField(max_length=_ID)
    place: Number = models.BigIntegerField()
    data: Bytes = models.BinaryField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["conversation", "name"], name="asgi_llm_conv_item_name"),
            models.UniqueConstraint(fields=["conversation", "place"], name="asgi_llm_conv_item_place"),
        ]

    def __str__(self) -> str:
        return self.name
