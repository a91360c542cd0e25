"""What stands around Django's ASGI application, in ``asgi.py``."""

import inspect
from io import BytesIO
from typing import Any, cast

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.apps import apps
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string

from asgi_llm import ClientError, ConfigError, Gateway, LLMMiddleware
from asgi_llm.types import ASGIApp, Receive, Scope, Send

from .csrf import brings_credentials
from .database import release
from .entry import serve_to
from .project import get_gateway, get_project
from .tables import check_at_start

__all__ = ["intercept", "with_lifespan"]


def with_lifespan(application: ASGIApp) -> ASGIApp:
    """``application``, and the gateway that starts and stops with the server. Django itself has no part in that, and
    must not be told of it.

    Without this, the gateway starts with its first request and the end of the server cuts off what still runs.
    """

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _run(get_gateway(), scope, receive, send)
        elif scope["type"] == "websocket" and isinstance(application, ASGIHandler) and _leads_here(scope):
            # Django would raise. What it would be asked before a request is not asked here.
            await get_gateway().asgi.refuse_websocket(scope, receive, send)
        else:
            await application(scope, receive, send)

    return served


def _leads_here(scope: Scope) -> bool:
    from .views import llm  # needs the settings, and this module is imported where those are not there yet

    try:
        match = resolve(ASGIRequest({**scope, "method": "GET"}, BytesIO()).path_info)
    except (Resolver404, UnicodeDecodeError):
        return False
    return match.func is llm


def intercept(application: ASGIApp, prefix: str = "/llm", *, shared: bool = False) -> ASGIApp:
    """``application`` with the gateway in front of it: requests below ``prefix`` never reach Django. The lifespan is
    taken care of, too.

    Of Django's middleware, only those for sessions and for authentication are asked who calls. ``shared`` passes on
    paths below the prefix that the gateway does not know.

    Raises:
        ConfigError: the prefix is not a path.
    """
    # It wants a gateway for what this has as well: to be called, and to know its paths.
    door = cast("Gateway", _Door())
    return LLMMiddleware(application, door, prefix, shared=shared, forward_lifespan=False)


class _Door:
    """Finds out who calls, and lets the gateway answer."""

    @property
    def asgi(self) -> "_Door":
        return self

    def knows(self, scope: Scope) -> bool:
        return get_gateway().asgi.knows(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway, sources, _, keyless, _ = get_project()
        if scope["type"] == "lifespan":
            await _run(gateway, scope, receive, send)
            return
        if scope["type"] != "http" or (keyless and brings_credentials(scope)):
            # Nobody needs to be asked, and asking would take a thread.
            await gateway.asgi(scope, receive, send)
            return
        try:
            request = ASGIRequest(scope, BytesIO())
        except UnicodeDecodeError:
            await gateway.asgi.refuse(scope, receive, send, ClientError("the query is not UTF-8"))
            return
        if sources:
            async with ThreadSensitiveContext():
                await sync_to_async(_prepare)(request)
                serve = await serve_to(gateway, scope, request, sources)
                await sync_to_async(release)()
        else:
            serve = await serve_to(gateway, scope, request, ())
        await serve(receive, send)


async def _run(gateway: Gateway, scope: Scope, receive: Receive, send: Send) -> None:
    """The lifespan, unless the URLconf has the gateway where something in front of Django answers."""
    from .places import prefixes  # needs the settings, and this module is imported where those are not there yet

    try:
        gateway.asgi.refuse_hidden(prefixes())
    except ConfigError as error:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    if gateway.settings.store.address == "django":
        # Beside it, so that starting waits for no database.
        gateway.runtime(announced=True).spawn(check_at_start(), "look for tables")
    await gateway.asgi(scope, receive, send)


def _prepare(request: HttpRequest) -> None:
    """Gives the request its session and its user."""
    for middleware in _middleware():
        middleware(lambda _request: None).process_request(request)


def _middleware() -> list[Any]:
    # These import models, which is too early where this module is imported.
    named = {
        "django.contrib.sessions": "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth": "django.contrib.auth.middleware.AuthenticationMiddleware",
    }
    wanted = tuple(import_string(path) for app, path in named.items() if apps.is_installed(app))
    used = [import_string(name) for name in settings.MIDDLEWARE]
    return [one for one in used if inspect.isclass(one) and issubclass(one, wanted)]
