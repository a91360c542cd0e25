"""Issued keys: made, rotated and revoked. The text of a key is on one page, once, which nothing keeps."""

import time
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from asgi_llm.keys.issue import NewKey, new_key, successor_of
from asgi_llm.settings import IssuedSettings
from asgi_llm.stores.keys import IssuedKey
from asgi_llm_django.models import APIKey
from asgi_llm_django.project import get_gateway
from asgi_llm_django.signals import key_issued, key_revoked
from asgi_llm_django.stores.keys import add_key, change_key, key_of, rotate_key

from .base import moment
from .people import PeopleAdmin

__all__ = ["APIKeyAdmin"]

_DAY = 86400.0


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # it cannot be subscripted at run time
    """Globs and roles are separated by spaces."""

    roles = forms.CharField(required=False, help_text="Separated by spaces, as are all that follow.")
    endpoints = forms.CharField(required=False, help_text="Globs of what it is for; empty: everything.")
    models = forms.CharField(required=False)
    targets = forms.CharField(required=False)
    days = forms.FloatField(
        required=False, min_value=0.001, label="works for so many days", help_text="Empty: for ever."
    )

    class Meta:
        model = APIKey
        fields = ("subject", "tenant", "name")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if "tenant" in self.fields:
            self.fields["tenant"].initial = "default"

    def clean(self) -> dict[str, Any]:
        """Makes the key, which is in ``made`` then."""
        cleaned = super().clean() or {}
        settings = _issued()
        if settings is None:
            raise forms.ValidationError("auth.issued is not set, so that no keys are issued")
        lists: dict[str, Any] = {
            name: (cleaned.get(name) or "").split() for name in ("roles", "endpoints", "models", "targets")
        }
        days = cleaned.get("days")
        names: dict[str, Any] = {name: cleaned.get(name) or "" for name in ("subject", "tenant", "name")}
        try:
            self.made = new_key(settings, time.time(), lifetime=None if days is None else days * _DAY, **names, **lists)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        return cleaned


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, _admin: Any) -> Sequence[tuple[str, str]]:
        return [("works", "works"), ("expired", "expired"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, found: QuerySet[Any]) -> QuerySet[Any]:
        expired = Q(expires__lte=time.time())
        match self.value():
            case "works":
                return found.filter(revoked=None).exclude(expired)
            case "expired":
                return found.filter(expired, revoked=None)
            case "revoked":
                return found.exclude(revoked=None)
        return found


class APIKeyAdmin(PeopleAdmin[APIKey]):
    form = KeyForm
    ordering = ("-created",)
    list_display = ("id", "name", "who", "tenant", "state", "last_used", "made", "until")
    list_filter = (StateFilter, "tenant")
    search_fields = ("=id", "name", "subject", "tenant")
    actions = ("revoke", "rotate")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        named = ["subject", "tenant", "name", "roles", "endpoints", "models", "targets"]
        return [*named, "days"] if obj is None else ["id", *named, "state", "made", "until", "last_used", "replaces"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else self.get_fields(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the ledger names keys; what is to work no more is revoked

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _issued() is not None and super().has_add_permission(request)

    @admin.display(description="state")
    def state(self, row: APIKey) -> str:
        if row.revoked is not None:
            return f"revoked {moment(row.revoked)}"
        return "works" if key_of(row).works(time.time()) else "expired"

    @admin.display(description="used", ordering="used")
    def last_used(self, row: APIKey) -> str:
        return moment(row.used)

    @admin.display(description="made", ordering="created")
    def made(self, row: APIKey) -> str:
        return moment(row.created)

    @admin.display(description="works until", ordering="expires")
    def until(self, row: APIKey) -> str:
        return "for ever" if row.expires is None else moment(row.expires)

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        if change:
            return  # nothing of a key is changed here
        made: NewKey = form.made
        obj.pk = made.key.id
        add_key(router.db_for_write(APIKey), made.key)
        key_issued.send_robust(sender=IssuedKey, key=made.key, replaced=None)

    def response_add(self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None) -> HttpResponse:
        # Not by a message, which would keep it in a cookie or the session.
        made: NewKey = request._asgi_llm_made  # type: ignore[attr-defined]  # noqa: SLF001  # set below
        return self._show(request, [made])

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        if not change:
            request._asgi_llm_made = form.made  # type: ignore[attr-defined]  # noqa: SLF001  # for the page that shows it
        return super().save_form(request, form, change)

    @admin.action(description="Revoke: stop working", permissions=["change"])
    def revoke(self, request: HttpRequest, found: QuerySet[APIKey]) -> None:
        now = time.time()
        stopped = [row for row in found if change_key(found.db, row.tenant, row.pk, {"revoked": now})]
        for row in stopped:
            row.revoked = now
            self.log_change(request, row, "Revoked.")
            key_revoked.send_robust(sender=IssuedKey, key=key_of(row))
        settings = _issued()
        fresh = settings.fresh if settings is not None else 0
        self.message_user(request, f"{len(stopped)} revoked; running processes know within {fresh:g} seconds.")

    @admin.action(description="Rotate: make successors, and let these work for one more day", permissions=["change"])
    def rotate(self, request: HttpRequest, found: QuerySet[APIKey]) -> HttpResponse | None:
        settings, now, made = _issued(), time.time(), []
        if settings is None or not self.has_add_permission(request):
            raise PermissionDenied
        for row in found:
            old = key_of(row)
            new = successor_of(settings, now, old)
            with transaction.atomic(using=found.db):
                done = old.works(now) and rotate_key(found.db, row.tenant, row.pk, new.key, now + _DAY)
            if done:
                made.append(new)
                self.log_change(request, row, f"Rotated to {new.key.id}.")
                key_issued.send_robust(sender=IssuedKey, key=new.key, replaced=row.pk)
        if made:
            return self._show(request, made)
        self.message_user(request, "None of these works any more.", messages.WARNING)
        return None

    def _show(self, request: HttpRequest, made: Sequence[NewKey]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "title": "New keys", "made": made, "opts": self.opts}
        response = TemplateResponse(request, "asgi_llm/keys_made.html", context)
        response["cache-control"] = "no-store"
        return response


def _issued() -> IssuedSettings | None:
    return get_gateway().settings.auth.issued
