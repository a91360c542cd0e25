"""Who may use the models: users with a token from the page, for programs; a session is enough for the page itself."""

from collections import Counter
from typing import Any

from django.contrib.auth import get_user_model
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from asgi_llm import Identity
from asgi_llm.identity import shown_key
from asgi_llm_django import exchange_settled

DAY = 24 * 60 * 60

tokens_used: Counter[str] = Counter()
"""By subject. Stands for a table."""


def make_token(user: Any) -> str:
    return signing.dumps(user.pk, salt="llm")


def by_token(request: HttpRequest) -> Identity | None:
    """One of ``identity`` in ASGI_LLM: called with every request to a model, in a thread, and may use the database."""
    shown = shown_key(request.headers)
    if not shown or shown.startswith("llm_"):
        return None  # the latter are issued in the admin, and for the gateway to know
    try:
        user = get_user_model().objects.get(pk=signing.loads(shown, salt="llm", max_age=DAY), is_active=True)
    except (signing.BadSignature, get_user_model().DoesNotExist):
        raise PermissionDenied("that token is not, or no longer, valid; the shop's page has a new one") from None
    return Identity(subject=f"user:{user.pk}", tenant="shop", roles=("staff",) if user.is_staff else (), source="token")


@receiver(exchange_settled)
def count(exchange: Any, **_more: Any) -> None:
    """Called once for every request to a model, however it ended."""
    if exchange.usage is not None:
        tokens_used[exchange.identity.subject] += exchange.usage.input + exchange.usage.output
