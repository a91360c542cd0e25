"""Stored responses and conversations: to look at, to delete, and to forget all of a user's."""

from typing import Any, TypeVar

import msgspec
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from asgi_llm.history.vault import UnreadableError, Vault
from asgi_llm.stores.scope import Scope
from asgi_llm_django.models import Conversation, Response
from asgi_llm_django.project import get_gateway
from asgi_llm_django.stores.responses import forget as forget_responses
from asgi_llm_django.stores.signatures import forget as forget_signatures

from .base import ReadOnlyAdmin, moment
from .people import PeopleAdmin

__all__ = ["ConversationAdmin", "ResponseAdmin"]

M = TypeVar("M", bound=Model)

_SHOWN = 200_000
"""Characters of what was said, at most."""


class _StoredAdmin(PeopleAdmin[M], ReadOnlyAdmin[M]):
    actions = ("forget",)
    ordering = ("-created",)
    search_fields = ("=name", "subject", "tenant")

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        # What was said may be long, and lists do not show it.
        return super().get_queryset(request).defer("data")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super(ReadOnlyAdmin, self).has_delete_permission(request, obj)

    @admin.display(description="made", ordering="created")
    def made(self, row: Any) -> str:
        return moment(row.created)

    @admin.display(description="kept until", ordering="expires")
    def until(self, row: Any) -> str:
        return moment(row.expires)

    @admin.display(description="what was said")
    def said(self, row: Any) -> str:
        return _opened(bytes(row.data))

    @admin.action(description="Forget these users: delete all that is kept of theirs", permissions=["delete"])
    def forget(self, request: HttpRequest, found: QuerySet[Any]) -> HttpResponse | None:
        users = sorted(set(found.order_by().values_list("tenant", "subject")))
        if "confirmed" in request.POST:
            gone = 0
            for tenant, subject in users:
                scope = Scope(tenant, subject)
                gone += forget_responses(found.db, scope) + forget_signatures(found.db, scope)
            self.message_user(request, f"{len(users)} forgotten, with {gone} things that were kept of theirs.")
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Forget users",
            "opts": self.opts,
            "users": users,
            "chosen": [str(row) for row in found.values_list("pk", flat=True)],
        }
        return TemplateResponse(request, "asgi_llm/forget.html", context)


class ResponseAdmin(_StoredAdmin[Response]):
    list_display = ("name", "who", "tenant", "status", "made", "until")
    list_filter = ("status", "tenant")
    fields = ("name", "subject", "tenant", "status", "made", "until", "parent", "conversation", "said")
    readonly_fields = ("made", "until", "said")


class ConversationAdmin(_StoredAdmin[Conversation]):
    list_display = ("name", "who", "tenant", "length", "made", "until")
    list_filter = ("tenant",)
    fields = ("name", "subject", "tenant", "length", "made", "until", "said")
    readonly_fields = ("made", "until", "said")

    @admin.display(description="what was said")
    def said(self, row: Any) -> str:
        items = row.items.order_by("place").values_list("data", flat=True)[:200]
        return "\n".join([_opened(bytes(data)) for data in items])[:_SHOWN]


def _opened(data: bytes) -> str:
    """As JSON that people can read. It may be encrypted."""
    keys = get_gateway().settings.responses.encryption_keys
    try:
        plain = Vault([key.get_secret_value() for key in keys]).open(data)
        return msgspec.json.format(plain, indent=2).decode()[:_SHOWN]
    except UnreadableError:
        return "cannot be read: it is damaged, or the key that it was encrypted with is gone"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "cannot be shown"
