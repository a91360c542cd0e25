"""Who calls, as this project knows its users: from the session, by REST framework, by Django Ninja or by a function of
the project's own. Each is a ``Source``; the first that knows the caller decides."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import isawaitable
from types import SimpleNamespace
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Model
from django.http import HttpRequest
from django.utils.module_loading import import_string

from asgi_llm import ConfigError, Identity, Problem
from asgi_llm.identity import subject_of

from .csrf import check_csrf, shows_credentials
from .roles import FLAGS, granted

__all__ = ["Source", "identify", "identity_of", "load_sources"]

_REST = "rest_framework"


@dataclass(frozen=True, slots=True)
class Source:
    """``ask`` gives the user of a request, None or an awaitable of either. ``name`` is the source that identities get.
    ``guarded``: whom it knows may be known by a cookie, and the CSRF token has to be looked at. ``keyless``: it knows
    nobody who shows a key. ``roles``: those that ``load_roles`` has found to be named."""

    ask: Callable[[HttpRequest], Any]
    name: str
    guarded: bool
    keyless: bool = False
    roles: tuple[str, ...] = ()

    async def identity(self, request: HttpRequest) -> Identity | None:
        """Who calls, or None."""
        found = await sync_to_async(self._ask)(request)
        if isawaitable(found):
            return await sync_to_async(self._judge)(request, await found)
        return found

    def _ask(self, request: HttpRequest) -> Identity | Awaitable[Any] | None:
        found = self.ask(request)
        return found if isawaitable(found) else self._judge(request, found)

    def _judge(self, request: HttpRequest, found: Any) -> Identity | None:
        # In a thread as well: a user may be fetched from the database only when it is looked at.
        identity = identity_of(found, self.name)
        if identity is not None:
            identity = granted(identity, found, self.roles) if self.roles else identity
            _keep_secret(identity.subject, request)
            if self.guarded:
                check_csrf(request)
        return identity


async def identify(request: HttpRequest, sources: Sequence[Source]) -> Identity | None:
    """Who calls, as the first source says that knows. None leaves it to the gateway's own keys.

    Raises:
        PolicyError: the request may be forged.
        Exception: whatever a source raises to refuse it.
    """
    shown = shows_credentials(request)
    for source in sources:
        if shown and source.keyless:  # asking it would take a thread
            continue
        identity = await source.identity(request)
        if identity is not None:
            return identity
    return None


def identity_of(user: Any, source: str = "django") -> Identity | None:
    """The identity of ``user``. Nobody: None, what is false, and users that are not authenticated.

    An ``Identity`` stays as it is, a string is the subject. A model instance is known by its kind and primary key
    (``user:42`` for a user), and has the roles ``staff`` and ``superuser`` where those are set. Of other objects and
    dicts the first that is there of ``id``, ``sub``, ``username`` and ``email`` is the subject. Tenants and further
    roles are never guessed.

    Raises:
        TypeError: nothing in ``user`` tells who it is.
    """
    if not user or getattr(user, "is_authenticated", True) is False:
        return None
    if isinstance(user, Identity):
        return user
    subject = subject_of(user, first=("pk",))
    if isinstance(user, Model):
        kind = "user" if hasattr(user, "is_authenticated") else user._meta.model_name  # noqa: SLF001  # documented
        subject = f"{kind}:{subject}"
    roles = tuple(role for role in FLAGS if getattr(user, f"is_{role}", False) is True)
    return Identity(subject=subject, roles=roles, source=source)


def load_sources(named: Any, roles: tuple[str, ...] = ()) -> tuple[Source, ...]:
    """The sources that the setting names: one or several of ``session``, ``rest_framework``, dotted paths and
    callables; None for none. Users they know have the ``roles`` that are theirs.

    Raises:
        ConfigError: with every one that there is not.
    """
    several = isinstance(named, list | tuple)
    sources: list[Source] = []
    problems: list[Problem] = []
    for index, one in enumerate(named if several else [] if named is None else [named]):
        try:
            sources += _load(one)
        except (ImportError, TypeError, ValueError) as error:
            problems.append(Problem(f"identity[{index}]" if several else "identity", str(error)))
    if problems:
        raise ConfigError(problems)
    return tuple(replace(source, roles=roles) for source in sources)


def _load(named: Any) -> list[Source]:
    if named == "session":
        return [Source(_session_user, "django-session", guarded=True, keyless=True)]
    if named == _REST:
        rest: Any = import_string("rest_framework.settings.api_settings")
        return [_rest_source(one) for one in rest.DEFAULT_AUTHENTICATION_CLASSES]
    if isinstance(named, str):
        if "." not in named:
            raise ValueError(f'"{named}" is neither session nor {_REST} nor the dotted path of a callable')
        named = import_string(named)
    if isinstance(named, type) and hasattr(named, "authenticate_header"):
        return [_rest_source(named)]
    if isinstance(named, type) or not callable(named):
        raise TypeError(f"{named!r} cannot be called with a request")
    if hasattr(named, "openapi_type"):
        # Ninja's own; it looks at the CSRF token itself where it goes by a cookie.
        return [Source(named, "ninja", guarded=False)]
    return [Source(named, "django", guarded=not getattr(named, "csrf_exempt", False))]


def _session_user(request: HttpRequest) -> Any:
    # Who shows a key wants to be known by it, and not by the cookie that the browser adds.
    return None if shows_credentials(request) else getattr(request, "user", None)


_NO_PARSER = SimpleNamespace(media_type="*/*", parse=lambda *_arguments: {})
"""Leaves the body unread where REST framework looks for a CSRF token in it."""


def _rest_source(authentication: Callable[[], Any]) -> Source:
    """An authentication class of REST framework, which looks at the CSRF token itself where it goes by a cookie."""

    exceptions: Any = import_module("rest_framework.exceptions")
    framework: Any = import_string("rest_framework.request.Request")

    def ask(request: HttpRequest) -> Any:
        scheme = authentication()
        asked = framework(request, parsers=[_NO_PARSER], authenticators=[scheme])
        try:
            return asked.user
        except exceptions.AuthenticationFailed as error:
            # As REST framework does it in its own views.
            if challenge := scheme.authenticate_header(asked):
                error.auth_header = challenge
            else:
                error.status_code = 403
            raise

    return Source(ask, _REST, guarded=False)


def _keep_secret(subject: str, request: HttpRequest) -> None:
    """Subjects are logged. Authentication that just gives back the token it was shown is seen in many a guide."""
    shown = request.META.get("HTTP_AUTHORIZATION", "").rpartition(" ")[2], request.META.get("HTTP_X_API_KEY")
    if subject in shown:
        raise TypeError("the identity is the credential that the caller showed; give something that may be logged")
