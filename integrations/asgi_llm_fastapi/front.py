"""The shortest way to the gateway: in front of FastAPI's own middleware.

For the gateway's requests that has nothing to do. It makes answers of exceptions, of which the gateway raises none,
closes forms, which nobody reads, and looks for the route, which for a fixed path is known beforehand; and it takes as
long as the gateway. So while an application runs its ``middleware_stack`` is a ``Front``: for those of the gateway's
paths to which nothing else in the application can lead, as long as all middleware is FastAPI's own, and where no
dependency is asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette import routing
from starlette.routing import Match

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.types import ASGIApp, Message, Receive, Scope, Send

from .route import answer, leads_straight
from .shortcut import LIMITED, TRACED, LLMRouter, contexts

__all__ = ["stand_in_front"]

_OWN = {
    "starlette.middleware.errors",
    "starlette.middleware.exceptions",
    "fastapi.middleware.asyncexitstack",
    "fastapi.telemetry._asgi",
    "fastapi._body_limit",
}
"""Modules of the middleware that every application has."""
_PREDICTABLE = {
    kind.matches for kind in (routing.Route, routing.WebSocketRoute, routing.Mount, APIRoute, APIWebSocketRoute)
}
"""What looks at nothing but path and method."""

_Way = tuple[Gateway, str, Scope]
"""The gateway, the path it stands at, and what FastAPI notes in the scope of a request that goes there."""


class Front:
    """In front of ``app``: ``ways`` has, by method and path, those that lead straight to a gateway."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.ways: dict[tuple[str, str], _Way] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = self.ways.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if way is None or LIMITED in scope or scope.get(TRACED) is not None or _in_path(scope):
            await self.app(scope, receive, send)
            return
        gateway, mount, noted = way
        scope.update(noted)
        scope.setdefault("path_params", {})
        try:
            await answer(gateway, {**scope, IDENTITY_KEY: None}, mount, receive, send)
        except Exception as raised:  # noqa: BLE001  # out of receive: the application may have a handler for it
            await self.app(scope, _raising(raised), send)


def _in_path(scope: Scope) -> bool:
    """Whether the path begins with ``root_path``, which the application takes off before it looks for routes."""
    root = scope.get("root_path")
    return bool(root) and scope["path"].startswith(root)


def _raising(error: Exception) -> Receive:
    async def receive() -> Message:
        raise error

    return receive


@contextmanager
def stand_in_front(app: Any, router: LLMRouter) -> Iterator[None]:
    """For as long as the block runs, the gateway of ``router`` stands in front of ``app`` where it may."""
    if not (isinstance(app, FastAPI) and _untouched(app)):
        yield
        return
    stack: Any = app.middleware_stack
    front = stack if isinstance(stack, Front) else Front(stack)
    found = dict(_ways(app, router))
    front.ways |= found
    app.middleware_stack = front
    try:
        yield
    finally:
        for place in found:
            front.ways.pop(place, None)
        if not front.ways and app.middleware_stack is front:
            app.middleware_stack = front.app


def _untouched(app: FastAPI) -> bool:
    """Whether all middleware is FastAPI's own, as it came, and all routes are of kinds whose choice is predictable."""
    layer: Any = app.middleware_stack
    layer = layer.app if isinstance(layer, Front) else layer
    while layer is not app.router:
        kind = type(layer)
        if kind.__module__ not in _OWN or kind.__call__.__module__ != kind.__module__:
            return False
        layer = getattr(layer, "app", None)
    kinds = {type(getattr(one, "original_route", one)) for one in contexts(app)}
    return type(app.router) is APIRouter and all(kind.matches in _PREDICTABLE for kind in kinds)


def _ways(app: FastAPI, router: LLMRouter) -> Iterator[tuple[tuple[str, str], _Way]]:
    for one in contexts(app):
        if getattr(one, "endpoint", None) in router.tails and "{" not in one.path:
            for method in one.methods:
                way = _way(app, router, method, one.path)
                if way is not None:
                    yield (method, one.path), way


def _way(app: FastAPI, router: LLMRouter, method: str, path: str) -> _Way | None:
    """Asks the routes, as the application would."""
    scope: Scope = {"type": "http", "method": method, "path": path, "app": app}
    routes: list[Any] = app.routes
    for route in routes:
        if route.matches(scope)[0] is Match.FULL:
            mount, asked = router.enter(scope) or (None, None)
            if mount is None and leads_straight(route, router.tails):
                mount = path.removesuffix(router.tails[route.endpoint])
                scope.update(route=route, endpoint=route.endpoint)
            if mount is None or asked is not None:
                return None
            return router.gateway, mount, {key: scope[key] for key in ("route", "endpoint")}
    return None
