"""The route handlers: a documented one for each endpoint, hidden ones for everything else below the path."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Annotated, Any

from litestar import Request, Response, WebSocket
from litestar.di import Provide
from litestar.enums import HttpMethod
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler, WebsocketRouteHandler
from litestar.openapi.spec import Operation
from litestar.types import ExceptionHandlersMap, Middleware
from litestar.utils import is_async_callable

from asgi_llm import Gateway, Identity
from asgi_llm.endpoints import Endpoint
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.openapi import operation
from asgi_llm.types import Receive, Scope, Send

from .answer import GatewayResponse, below
from .client import USER
from .config import LLMPluginConfig
from .identity import as_identity
from .refusal import refusal, with_refusal
from .straight import straight

__all__ = ["Place", "make_handlers", "provide_user", "segments"]

_METHODS = frozenset(HttpMethod) - {HttpMethod.OPTIONS}
"""Litestar answers OPTIONS itself."""


@dataclass(frozen=True)
class Place:
    """Where a gateway stands: ``depth`` segments below the root, at the path ``fixed`` if it has no parameters, with
    this ``middleware`` and ``opt``."""

    gateway: Gateway
    depth: int
    fixed: str | None
    middleware: Sequence[Middleware]
    opt: Mapping[str, Any]


@dataclass(frozen=True)
class _Function:
    """A handler's ``handler``, and the middleware by which the same is done without it, where that is possible."""

    handler: Callable[..., Any]
    shortcut: Callable[..., Any] | None = None


def segments(path: str) -> list[str]:
    """The names between the slashes."""
    return [segment for segment in path.split("/") if segment]


def make_handlers(config: LLMPluginConfig, place: Place) -> list[BaseRouteHandler]:
    """All handlers of the gateway. They are given to the application one by one, since a ``Router`` would be copied
    with all that guards and dependencies refer to."""
    served = place.gateway.asgi.table.served
    base = "/" + "/".join(segments(config.path))
    call, probe = _functions(config, place)
    made: list[BaseRouteHandler] = []
    for endpoint in served:
        # Probes come without a user.
        function = probe if endpoint.public else call
        methods = [HttpMethod(method) for method in endpoint.methods - {"HEAD"}]
        options = _documentation(endpoint) | {"include_in_schema": config.include_in_schema}
        # What stands for a model is no parameter to Litestar, for it is no whole segment.
        path = base + _typed(endpoint.path)
        made.append(_handler(config, place, [path], methods, function, **options))
        others = sorted(_METHODS - set(methods))
        made.append(_handler(config, place, [path], others, function, include_in_schema=False))
    anything = [f"{base}{parent}/{{llm_path:path}}" for parent in _parents(served)]
    made.append(_handler(config, place, anything, sorted(_METHODS), call, include_in_schema=False))
    return [*made, _deaf(place, [base + _typed(endpoint.path) for endpoint in served] + anything)]


def _deaf(place: Place, paths: list[str]) -> WebsocketRouteHandler:
    """For WebSockets: who calls is not asked here, so they are told to go on over HTTP."""

    async def tell(socket: WebSocket[Any, Any, Any]) -> None:
        plain: Any = socket  # Litestar's types of messages are closed, ASGI's open
        await place.gateway.asgi.refuse_websocket(plain.scope, plain.receive, plain.send)

    return WebsocketRouteHandler(paths, opt=dict(place.opt))(tell)


def _typed(path: str) -> str:
    return path.replace("{id}", "{llm_id:str}").replace("{item}", "{llm_item:str}")


def _parents(served: Sequence[Endpoint]) -> Iterator[str]:
    """Every path at which Litestar's search for a route may have arrived when it finds that there is none: it does not
    go back to look for another way."""
    found = {""}
    for endpoint in served:
        names = segments(_typed(endpoint.path))
        found |= {"".join(f"/{name}" for name in names[:count]) for count in range(1, len(names) + 1)}
    yield from sorted(found)


def _functions(config: LLMPluginConfig, place: Place) -> tuple[_Function, _Function]:
    """What answers: a function that knows who calls, and one that does not ask."""

    gateway, depth, fixed = place.gateway, place.depth, place.fixed

    async def forward(scope: Scope, receive: Receive, send: Send, identity: Identity | None = None) -> None:
        inner = below(scope, depth, fixed)
        if identity is not None:
            inner[IDENTITY_KEY] = identity
        await gateway.asgi(inner, receive, send)

    async def forward_known(scope: Scope, receive: Receive, send: Send) -> None:
        inner = below(scope, depth, fixed)
        if (identity := who(scope)) is not None:
            inner[IDENTITY_KEY] = identity
        await gateway.asgi(inner, receive, send)

    def who(scope: Scope) -> Identity | None:
        user = scope.get("user")
        if user is None or IDENTITY_KEY in scope:  # a middleware has said it in the gateway's own terms
            return None
        return as_identity(user, config.to_identity)

    def answer(identity: Identity | None) -> Response[Any]:
        return GatewayResponse(partial(forward, identity=identity))

    async def probe() -> Response[Any]:
        return answer(None)

    async def call(request: Request[Any, Any, Any]) -> Response[Any]:
        return answer(who(request.scope))  # type: ignore[arg-type]  # Litestar's scope types are closed, ASGI's open

    async def call_with_dependency(llm_user: Annotated[Any, USER]) -> Response[Any]:
        return answer(as_identity(llm_user, config.to_identity))

    known = _Function(call, straight(forward_known))
    return (known if config.identity is None else _Function(call_with_dependency)), _Function(probe, straight(forward))


def _handler(
    config: LLMPluginConfig,
    place: Place,
    paths: list[str],
    methods: list[HttpMethod],
    function: _Function,
    **options: Any,
) -> HTTPRouteHandler:
    shortcut = [] if function.shortcut is None else [function.shortcut]
    handler = _Handler(
        paths,
        http_method=methods,
        status_code=200,
        guards=list(config.guards),
        middleware=[*place.middleware, *shortcut],
        opt=dict(place.opt),
        dependencies={USER: provide_user(config.identity)} if config.identity is not None else None,
        request_max_body_size=_largest_body(place.gateway),
        tags=list(config.tags),
        security=list(config.security) or None,
        **options,
    )
    handler.refuse = refusal(place.gateway, place.depth)
    return handler(function.handler)


def _largest_body(gateway: Gateway) -> int:
    """Bytes; the gateway has a limit of its own for each endpoint, and tells of it in the caller's dialect."""
    limits = gateway.settings.limits
    return max(limits.body, limits.upload)


class _Handler(HTTPRouteHandler):
    """One whose refusals are told in the caller's dialect."""

    refuse: Any
    _known: tuple[ExceptionHandlersMap, ExceptionHandlersMap] | None = None

    def resolve_exception_handlers(self) -> ExceptionHandlersMap:
        # Litestar asks for every request.
        found = super().resolve_exception_handlers()
        if self._known is None or self._known[0] != found:
            self._known = found, with_refusal(found, self.refuse)
        return self._known[1]


def provide_user(identity: Callable[..., Any] | Provide) -> Provide:
    """``identity`` as a dependency."""
    if isinstance(identity, Provide):
        return identity
    plain = not (is_async_callable(identity) or isgeneratorfunction(identity) or isasyncgenfunction(identity))
    return Provide(identity, sync_to_thread=False if plain else None)


def _documentation(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments of a handler. The operation's id is Litestar's, which is unique however many gateways there are."""
    described = operation(endpoint)
    overlay = {key: described[key] for key in ("requestBody", "responses") if key in described}

    class DescribedOperation(Operation):
        def to_schema(self) -> dict[str, Any]:
            return super().to_schema() | overlay

    return {
        "summary": described["summary"],
        "description": described.get("description"),
        "operation_class": DescribedOperation,
    }
