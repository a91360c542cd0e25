"""Who subjects are: ``user:42`` means more to staff with that user's name beside it, and a link to their page."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from .base import KeptAdmin

__all__ = ["PeopleAdmin", "names_of", "subjects_like"]

M = TypeVar("M", bound=Model)

_USER = re.compile(r"^user:(.+)$")
_MOST = 200
"""Users that a search for a name finds."""


def names_of(subjects: Iterable[str]) -> dict[str, tuple[Any, str]]:
    """Of those that are users: the primary key and the name. One query."""
    users: Any = get_user_model()
    wanted = {}
    for subject in set(subjects):
        if found := _USER.match(subject):
            try:
                key = users._meta.pk.to_python(found[1])  # noqa: SLF001  # documented
            except ValidationError:
                continue
            # Subjects may be anything, and a database fails with numbers that it has no type for.
            if not isinstance(key, int) or key.bit_length() < 64:
                wanted[key] = subject
    found_users = users._default_manager.filter(pk__in=list(wanted))  # noqa: SLF001  # documented
    return {wanted[user.pk]: (user.pk, user.get_username()) for user in found_users}


def subjects_like(said: str) -> list[str]:
    """The subjects of users whose name has ``said`` in it."""
    users: Any = get_user_model()
    found = users._default_manager.filter(**{f"{users.USERNAME_FIELD}__icontains": said})  # noqa: SLF001  # documented
    return [f"user:{pk}" for pk in found.values_list("pk", flat=True)[:_MOST]]


class PeopleAdmin(KeptAdmin[M]):
    """Rows that have a ``subject``: shown by ``who``, and found by the name of their user."""

    @admin.display(description="who", ordering="subject")
    def who(self, row: Any) -> str:
        names: Mapping[str, tuple[Any, str]] | None = getattr(row, "asgi_llm_names", None)
        if names is None:
            names = names_of([row.subject])
        if row.subject not in names:
            return str(row.subject)
        pk, name = names[row.subject]
        options = get_user_model()._meta  # noqa: SLF001  # documented
        try:
            page = reverse(f"{self.admin_site.name}:{options.app_label}_{options.model_name}_change", args=[pk])
        except NoReverseMatch:
            return f"{name} ({row.subject})"
        return format_html('<a href="{}" title="{}">{}</a>', page, row.subject, name)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response: Any = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)
        if context is not None and "cl" in context:
            rows = list(context["cl"].result_list)
            names = names_of(row.subject for row in rows)
            for row in rows:
                row.asgi_llm_names = names
            context["cl"].result_list = rows
        return response

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found, several = super().get_search_results(request, queryset, search_term)
        if search_term and (subjects := subjects_like(search_term)):
            found |= queryset.filter(Q(subject__in=subjects))
        return found, several
