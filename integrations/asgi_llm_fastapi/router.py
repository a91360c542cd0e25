"""``llm_router``: the gateway's endpoints as routes of a FastAPI application."""

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.params import Depends as Dependency
from fastapi.responses import Response
from fastapi.routing import APIRoute

from asgi_llm import Gateway
from asgi_llm.endpoints import Endpoint
from asgi_llm.openapi import operation

from .front import stand_in_front
from .identity import ToIdentity, as_identity
from .route import Admitted, GatewayRoute, route_class
from .shortcut import ANYTHING, LLMRouter, contexts

__all__ = ["llm_router"]

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_UNLIMITED = sys.maxsize
_Forward = Callable[..., Any]


def llm_router(
    gateway: Gateway,
    *,
    identity: Callable[..., Any] | Dependency | None = None,
    dependencies: Sequence[Dependency] = (),
    to_identity: ToIdentity | None = None,
    tags: Sequence[str | Enum] = ("llm",),
    include_in_schema: bool = True,
    **router_options: Any,
) -> APIRouter:
    """A router with one documented route for each endpoint of ``gateway``, and a hidden one for all other paths below
    it, which the gateway answers as well. Include it under a prefix.

    Every dependency, ``identity`` or not, is closed before the first byte of the answer is sent. FastAPI never reads
    the body. The gateway runs for as long as the application does.

    Args:
        gateway: what answers.
        identity: the application's dependency that knows the user, or ``Depends``/``Security`` of it. Where it returns
            None, or is not given, the gateway's own keys decide. Health, readiness and root do not ask for it.
        dependencies: further ones that let the request pass or raise ``HTTPException``.
        to_identity: makes an ``Identity`` (or its subject) of what ``identity`` returns; ``default_identity`` says what
            is done without it.
        tags, include_in_schema: for the OpenAPI document.
        router_options: passed on to ``APIRouter``.
    """
    if "max_body_size" in inspect.signature(APIRouter).parameters:
        # The gateway has a limit of its own and says so in the caller's dialect; the application's is for forms.
        router_options.setdefault("max_body_size", _UNLIMITED)
    tails: dict[_Forward, str] = {}
    routes = route_class(gateway, tails)
    router = LLMRouter(
        gateway,
        tails,
        _UNLIMITED,
        tags=list(tags),
        dependencies=list(dependencies),
        include_in_schema=include_in_schema,
        lifespan=_lifespan(gateway, routes, lambda: router),
        route_class=routes,
        **router_options,
    )
    who = identity if identity is None or isinstance(identity, Dependency) else Depends(identity)
    for endpoint in gateway.asgi.table.served:
        # Probes come without a user.
        forward = _forward(None if endpoint.public else who, to_identity)
        tails[forward] = endpoint.path
        # Names of models may hold slashes.
        path = endpoint.path.replace("{model}", "{model:path}")
        # Only these are documented; HEAD is answered by the route for all other paths. One route a method, since
        # FastAPI gives a route one operation id.
        for method in sorted(endpoint.methods - {"HEAD"}):
            router.add_api_route(path, forward, methods=[method], response_class=Response, **_documentation(endpoint))
    anything = _forward(who, to_identity)
    tails[anything] = "/{path}"
    router.add_api_route(ANYTHING, anything, methods=_METHODS, include_in_schema=False, name="llm")
    router.add_websocket_route(ANYTHING, _deaf(gateway))
    return router


def _deaf(gateway: Gateway) -> Callable[[WebSocket], Awaitable[None]]:
    """For WebSockets: what is asked before a request is not asked here, so they are told to go on over HTTP."""

    async def tell(socket: WebSocket) -> None:
        await gateway.asgi.refuse_websocket(socket.scope, socket.receive, socket.send)

    return tell


def _forward(who: Dependency | None, convert: ToIdentity | None) -> _Forward:
    async def pass_on(request: Request) -> Response:
        return Admitted(None, request)

    async def identify(request: Request, user: Any = who) -> Response:
        return Admitted(as_identity(user, convert), request)

    return pass_on if who is None else identify


def _lifespan(gateway: Gateway, routes: type[APIRoute], router: Callable[[], LLMRouter]) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        gateway.asgi.refuse_hidden(_prefixes(app, routes))
        async with gateway.running():
            with stand_in_front(app, router()):
                yield

    return lifespan


def _prefixes(app: Any, routes: type[APIRoute]) -> Iterator[str]:
    """Where in ``app`` the router is included; twice where another one is, too."""
    places: dict[str, list[type]] = {}
    for one in contexts(app):
        kind = type(getattr(one, "original_route", one))
        if issubclass(kind, GatewayRoute) and one.path.endswith(ANYTHING):
            places.setdefault(one.path.removesuffix(ANYTHING), []).append(kind)
    for prefix, kinds in places.items():
        if routes in kinds:
            yield from (prefix for _ in kinds)


def _documentation(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments of ``add_api_route``. The id of the operation is FastAPI's, which is unique however often the router is
    included."""
    described = operation(endpoint)
    body = described.get("requestBody")
    return {
        "name": endpoint.name,
        "summary": described["summary"],
        "description": described.get("description", ""),
        "responses": {int(code) if code.isdigit() else code: said for code, said in described["responses"].items()},
        "openapi_extra": {"requestBody": body} if body else None,
    }
