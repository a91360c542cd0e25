"""The short way to the gateway, for requests of which Litestar is asked nothing more once it has found the route.

A route of Litestar's makes a request of the scope, looks for what the handler wants to be given, and makes a response
of what that returns. Where neither guards nor hooks nor headers stand in any layer, nobody would see a difference, so
a middleware of the handler's, the innermost that is not Litestar's own, does not call the route.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Litestar
from litestar.middleware.csrf import CSRFMiddleware
from litestar.routes import HTTPRoute
from litestar.types import Empty
from litestar.utils.scope.state import ScopeState

from asgi_llm.types import ASGIApp, Receive, Scope, Send

__all__ = ["Forward", "straight"]

Forward = Callable[[Scope, Receive, Send], Awaitable[None]]

_ASKED = (
    "guards",
    "before_request",
    "after_request",
    "after_response",
    "response_headers",
    "response_cookies",
    "cache_control",
    "etag",
)
"""What a layer may have that looks at a request or changes an answer."""
_CATCHES = "litestar.middleware._internal.exceptions"
"""Where the middleware is that makes answers of exceptions; there is another of it further out."""


def straight(forward: Forward) -> Callable[..., ASGIApp]:
    """Middleware that lets ``forward`` answer where the route would do nothing else."""

    def middleware(app: ASGIApp) -> ASGIApp:
        wanted: bool | None = None

        async def choose(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal wanted
            if wanted is None:  # by now every layer has all that it will have
                wanted = _wanted(app, scope["route_handler"], scope["litestar_app"])
            state = ScopeState.from_scope(scope)  # type: ignore[arg-type]  # Litestar's scope types are closed
            # A body that somebody has read is given again by the response, and a form is closed by the route.
            if wanted or state.body is not Empty or state.form is not Empty:
                await app(scope, receive, send)
            else:
                await forward(scope, receive, send)

        return choose

    return middleware


def _wanted(app: Any, handler: Any, application: Litestar) -> bool:
    """Whether ``app``, the route and what Litestar itself puts around it, has something to do."""
    passed: dict[type, str | None] = {}
    if (csrf := application.csrf_config) is not None:
        passed[CSRFMiddleware] = csrf.exclude_from_csrf_key
    if (compression := application.compression_config) is not None:
        passed[compression.middleware_class] = compression.exclude_opt_key
    while (key := passed.get(type(app))) is not None and handler.opt.get(key):
        app = app.app
    route = getattr(app, "app", None)
    if not type(app).__module__.startswith(_CATCHES) or getattr(route, "__func__", None) is not HTTPRoute.handle:
        return True
    # Tracers replace it to see how it fares.
    if HTTPRoute.handle.__module__ != HTTPRoute.__module__:
        return True
    return any(getattr(layer, name, None) for layer in handler.ownership_layers for name in _ASKED)
