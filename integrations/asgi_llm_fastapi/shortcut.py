"""The short way to the gateway, for requests of which FastAPI is asked nothing but to route them.

FastAPI tries its routes one by one, and twice where they belong to a router; then it prepares to solve dependencies,
whether there are any or not. Here the router says at once that a path below its prefix is its own, and where no
dependency lets requests pass, neither the router's nor one of those around it, it hands them to the gateway itself.
All else goes FastAPI's way. So does everything where FastAPI does not ask the router, which is so before 0.137.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import fastapi.routing
from fastapi import APIRouter
from starlette.routing import Match, WebSocketRoute

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.types import ASGIApp, Receive, Scope, Send

from .route import answer, answer_asked, asks

__all__ = ["ANYTHING", "LIMITED", "TRACED", "LLMRouter", "contexts"]

_iter_route_contexts: Any = getattr(fastapi.routing, "iter_route_contexts", None)
ANYTHING = "/{path:path}"
"""The last route: of all paths that have none of their own."""
_FOUND = "asgi_llm_fastapi.found"
_NOWHERE: Any = (None, None, -1)
LIMITED = "starlette.max_body_size"
"""In the scope where the application limits bodies: FastAPI then lifts that limit for the router's routes."""
TRACED = "fastapi.telemetry"
"""In the scope where FastAPI itself traces, and wants to know the route."""


def contexts(app: Any) -> Iterator[Any]:
    """All routes of ``app``, those of its routers as they are where they were included."""
    # Before 0.137 an application had all routes in one list.
    return iter(app.routes if _iter_route_contexts is None else _iter_route_contexts(app.routes))


class LLMRouter(APIRouter):
    """The routes that lead to ``gateway``. ``tails`` has the path below the router of each endpoint function;
    ``unlimited`` is the size of a body, in bytes, that stands for no limit."""

    def __init__(self, gateway: Gateway, tails: Mapping[Any, str], unlimited: int, **options: Any) -> None:
        super().__init__(**options)
        self.gateway = gateway
        self.tails = tails
        self._unlimited = unlimited
        self._places: WeakKeyDictionary[Any, _Place | None] = WeakKeyDictionary()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http":
            place = self._place(scope)
            if place is not None and (start := place.start(scope)) >= 0 and scope["method"] in place.methods:
                scope[_FOUND] = self, place, start
                return Match.FULL, {}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        entered = self.enter(scope)
        if entered is None:
            await super().handle(scope, receive, send)
            return
        mount, asked = entered
        if asked is None:
            await answer(self.gateway, {**scope, IDENTITY_KEY: None}, mount, receive, send)
        else:
            await answer_asked(self.gateway, asked, scope, mount, receive, send)

    def enter(self, scope: Scope) -> tuple[str, ASGIApp | None] | None:
        """For a request that was matched: the path at which the gateway stands, and what has to let it pass before;
        notes in ``scope`` what FastAPI would note there. None where FastAPI has to see to the request."""
        router, place, start = scope.get(_FOUND) or _NOWHERE
        if router is not self or LIMITED in scope or scope.get(TRACED) is not None or not place.enter(scope, start):
            return None
        return scope["path"][:start], place.asked.get(id(scope["route"]))

    def _over_http(self) -> list[Any]:
        return [route for route in self.routes if not isinstance(route, WebSocketRoute)]

    def _place(self, scope: Scope) -> "_Place | None":
        try:
            return self._places[scope["app"]]
        except KeyError:
            if "app" not in scope:
                return None
            app = scope["app"]
            place = self._places[app] = _find(app, self._over_http(), self.tails, self._unlimited)
            return place


class _Place:
    """Where a router is in an application: everything below ``base``, which ends with a slash. ``asked`` has, by the id
    of each route that is not open to all, the application that solves what it depends on."""

    __slots__ = ("_below", "_exact", "_routes", "asked", "base", "methods")

    def __init__(self, base: str, routes: Sequence[Any], asked: Mapping[int, ASGIApp]) -> None:
        self.base = base
        self.asked = asked
        self.methods: set[str] = routes[-1].methods
        self._routes = routes
        self._below: str = routes[-1].path.removesuffix(ANYTHING)
        self._exact: dict[tuple[str, str], Scope] = {}
        for route in routes:
            for method in route.methods:
                found = self._search({"type": "http", "method": method, "path": route.path})
                if found is not None and not found["path_params"]:
                    self._exact[method, route.path.removeprefix(self._below)] = found

    def start(self, scope: Scope) -> int:
        """Where in the request's path the gateway's part begins; -1 where it has none."""
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        skipped = len(root) if root and path.startswith(root + "/") else 0
        return skipped + len(self.base) - 1 if path.startswith(self.base, skipped) else -1

    def enter(self, scope: Scope, start: int) -> bool:
        """Notes in ``scope``, as FastAPI does, by which route the request goes; False where it goes by none."""
        tail = scope["path"][start:]
        parameters = scope.setdefault("path_params", {})
        found = self._exact.get((scope["method"], tail))
        if found is None:
            found = self._search({**scope, "path": self._below + tail, "root_path": ""})
            if found is None:
                return False
            parameters = found["path_params"]
        scope["route"], scope["endpoint"], scope["path_params"] = found["route"], found["endpoint"], parameters
        return True

    def _search(self, scope: Scope) -> Scope | None:
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                return found  # type: ignore[no-any-return]  # the routes are of any class
        return None


def _find(app: Any, routes: Sequence[Any], tails: Container[Any], unlimited: int) -> _Place | None:
    if _iter_route_contexts is None:
        return None
    own = {id(route) for route in routes}
    found = [each for each in contexts(app) if id(each.original_route) in own]
    # A second inclusion would have to be told from the first, and a route of somebody else's to be let be.
    if len(found) != len(routes) or not all(route.endpoint in tails for route in routes):
        return None
    last = found[-1].path
    if not last.endswith(ANYTHING) or "{" in last.removesuffix(ANYTHING):
        return None
    asked: dict[int, ASGIApp] = {}
    for each in found:
        if asks(each.dependant) or getattr(each, "max_body_size", None) not in (None, unlimited):
            solve: ASGIApp | None = getattr(each, "app", None)
            if solve is None:
                return None
            asked[id(each.original_route)] = solve
    return _Place(last.removesuffix(ANYTHING) + "/", list(routes), asked)
