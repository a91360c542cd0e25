"""The seam between FastAPI's routing and the gateway.

FastAPI resolves a route's dependencies and then sends the response while they are still open. Here the response sends
nothing: it only notes that the dependencies let the request pass. Once they have all been closed the gateway answers,
so that no database session of a dependency, at whatever depth, is held for as long as a model talks.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.types import ASGIApp, Message, Receive, Scope, Send

from .refusal import as_error, as_raised

__all__ = ["Admitted", "GatewayRoute", "answer", "answer_asked", "asks", "leads_straight", "route_class"]

_FLAT = tuple(map(int, fastapi.__version__.split(".")[:2])) < (0, 137)
"""Whether an application has copies of its routers' routes, with all that is asked before each. Otherwise what is asked
where a router is included shows in the place of inclusion only."""
_ADMITTED = "asgi_llm_fastapi.admitted"


class Admitted(Response):
    """The dependencies let ``request`` pass. ``identity`` is who calls, or None where the application does not say."""

    background: BackgroundTask | None = None

    def __init__(self, identity: Identity | None, request: Request) -> None:
        # A response's own has a body and headers to think of.
        self.identity = identity
        self.request = request
        self.receive: Receive | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A limit on the body's size, where this route has one, is in this receive and not in the server's.
        self.receive = receive
        scope[_ADMITTED] = self


class GatewayRoute(APIRoute):
    """One that leads to a gateway, whichever."""


def asks(dependant: Any) -> bool:
    """Whether a dependency must be solved before the endpoint is called, as FastAPI has found out."""
    return bool(dependant.dependencies)


def leads_straight(route: Any, tails: Container[Any]) -> bool:
    """Whether ``route`` is the gateway's, has all that is asked before it, and nothing is."""
    return _FLAT and getattr(route, "endpoint", None) in tails and not asks(route.dependant)


async def answer(gateway: Gateway, scope: Scope, mount: str, receive: Receive, send: Send) -> None:
    """``gateway`` answers, which stands at the path ``mount``. ``scope`` becomes its own."""
    scope["root_path"] = mount
    try:
        await gateway.asgi(scope, receive, send)
    except HTTPException as raised:  # out of receive
        await refuse(gateway, scope, mount, receive, send, raised)


async def refuse(
    gateway: Gateway,
    scope: Scope,
    mount: str,
    receive: Receive,
    send: Send,
    raised: HTTPException | RequestValidationError,
) -> None:
    """Tells ``raised`` in the caller's dialect."""
    if isinstance(raised, HTTPException) and raised.status_code < 400:
        raise raised
    await gateway.asgi.refuse(dict(scope, root_path=mount), receive, as_raised(send, raised), as_error(raised))


async def answer_asked(
    gateway: Gateway, asked: ASGIApp, scope: Scope, mount: str, receive: Receive, send: Send
) -> None:
    """The same once ``asked``, a route's application with all that it depends on, has let the request pass."""
    # What dependencies leave in request.state must be where the application's middleware looks for it.
    scope.setdefault("state", {})
    inner = dict(scope)
    # Without handlers, what a dependency raises comes out here, through the clean-up of all of them.
    inner["starlette.exception_handlers"] = ({}, {})
    try:
        await asked(inner, receive, send)
        admitted: Admitted | None = inner.get(_ADMITTED)
        if admitted is None:
            return
        inner |= {"root_path": mount, IDENTITY_KEY: admitted.identity}
        await gateway.asgi(inner, _with_body(admitted.request, admitted.receive or receive), send)
    except (HTTPException, RequestValidationError) as raised:
        await refuse(gateway, scope, mount, receive, send, raised)
        return
    if admitted.background is not None:
        await admitted.background()


def _with_body(request: Request, receive: Receive) -> Receive:
    """``receive``, or where a dependency has read the body one that gives it again.

    Raises:
        HTTPException: it has read it and kept nothing.
    """
    if not getattr(request, "_stream_consumed", False):
        return receive
    body = getattr(request, "_body", None)
    if body is None:
        raise HTTPException(500, "a dependency of the application has read the body piece by piece; it is gone")
    again: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def repeat() -> Message:
        return again.pop() if again else await receive()

    return repeat


def route_class(gateway: Gateway, tails: Mapping[Callable[..., Any], str]) -> type[APIRoute]:
    """The class of the routes that lead to ``gateway``. ``tails`` has the path below the router that each endpoint
    function stands for."""

    class LLMRoute(GatewayRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            tail = tails.get(self.endpoint, "/{path}")
            for name, value in scope["path_params"].items():
                tail = tail.replace(f"{{{name}}}", str(value))
            mount = scope["path"].removesuffix(tail)
            if leads_straight(self, tails) and scope["method"] in (self.methods or ()):
                await answer(gateway, {**scope, IDENTITY_KEY: None}, mount, receive, send)
            else:
                await answer_asked(gateway, super().handle, scope, mount, receive, send)

    return LLMRoute
