"""Django's protection against forged requests, for callers that are known by what a browser sends by itself.

The view is exempt, since programs with a key of their own have no CSRF token. So whoever was recognised by a cookie is
checked here, in the way that Django REST framework and Django Ninja do it.
"""

from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from asgi_llm import PolicyError
from asgi_llm.errors import Kind
from asgi_llm.types import Scope

__all__ = ["brings_credentials", "check_csrf", "shows_credentials"]

_KEYS = ("HTTP_X_API_KEY", "HTTP_X_GOOG_API_KEY")
_BYTES = frozenset({b"x-api-key", b"x-goog-api-key", b"authorization"})
_OF_BROWSERS = ("basic", "digest", "negotiate", "ntlm")
"""Schemes whose credentials a browser remembers, and sends with forged requests, too."""


class _Check(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def check_csrf(request: HttpRequest) -> None:
    """Lets a request pass that nobody can have forged: a safe one, one with credentials that no browser sends by
    itself, or one with a CSRF token. May use the session, so it is called from a thread.

    Raises:
        PolicyError: 403 ``csrf_failed``.
    """
    if shows_credentials(request, ambient=False):
        return
    check = _Check(lambda _request: None)  # type: ignore[arg-type]  # nothing is asked of it
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]  # as in REST framework
    if reason:
        raise PolicyError(f"CSRF check failed: {reason}", kind=Kind.PERMISSION, code="csrf_failed")


def shows_credentials(request: HttpRequest, *, ambient: bool = True) -> bool:
    """Whether the request has a key or an Authorization header. Without ``ambient``, one that browsers do not add."""
    if any(request.META.get(name) for name in _KEYS):
        return True
    scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower()
    return bool(scheme) and (ambient or scheme not in _OF_BROWSERS)


def brings_credentials(scope: Scope) -> bool:
    """The same as ``shows_credentials`` of a request that has not been made yet."""
    for name, value in scope["headers"]:  # noqa: SIM110  # a generator takes twice as long
        if name in _BYTES and value.strip():
            return True
    return False
