"""The gateway in front of an application: takes the requests below its prefix and leaves all others alone."""

from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.types import ASGIApp, Receive, Scope, Send

from .lifespan import wrap_lifespan
from .mounts import Place, above, below, refuse_below

if TYPE_CHECKING:
    from asgi_llm.gateway import Gateway

__all__ = ["LLMMiddleware"]


class LLMMiddleware:
    """Pure ASGI middleware.

    Args:
        app: the application behind.
        gateway: what answers below ``prefix``.
        prefix: where, e.g. ``/llm``; "" answers at the root and implies ``shared``.
        shared: whether paths below the prefix that the gateway does not know belong to the application.
        forward_lifespan: whether ``app`` takes part in the lifespan (Django's handler must not be asked to).

    Raises:
        ConfigError: the prefix is not a path, or a gateway further in stands below it and would never be asked.
    """

    def __init__(
        self,
        app: ASGIApp,
        gateway: "Gateway",
        prefix: str = "/llm",
        *,
        shared: bool = False,
        forward_lifespan: bool = True,
    ) -> None:
        prefix = prefix.rstrip("/")
        if prefix and not prefix.startswith("/"):
            raise ConfigError([Problem("prefix", f'must begin with a slash, as in "/llm"; it is "{prefix}"')])
        self.app = app
        self.gateway = gateway
        self.prefix = prefix
        self.shared = shared or not prefix
        self.forward_lifespan = forward_lifespan
        self._refuse_double_mounting()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inner = self._below(scope)
            if inner is not None:
                await self.gateway.asgi(inner, receive, send)
                return
        elif scope["type"] == "websocket":
            # The application may have WebSockets of its own below the prefix.
            inner = self._below(scope)
            if inner is not None and self.gateway.asgi.knows(inner):
                await self.gateway.asgi(inner, receive, send)
                return
        elif scope["type"] == "lifespan":
            await self._start(scope, receive, send)
            return
        await self.app(scope, receive, send)

    @property
    def asgi_llm_prefix(self) -> str:
        """Where it stands, for other middleware that looks for it."""
        return self.prefix

    @property
    def gateway_app(self) -> object:
        return self.gateway.asgi

    def _refuse_double_mounting(self) -> None:
        from .app import GatewayApp  # heavy, and loaded already where there is a gateway

        place = Place(self.prefix, self.gateway.asgi, self.shared)
        for path, app in below(self.app, GatewayApp):
            if place.hides(path.rstrip("/"), app):
                said = f'"{path or "/"}" has a gateway behind this one, which would never be asked'
                raise ConfigError([Problem("prefix", said)])

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The lifespan."""
        try:
            self._refuse_double_mounting()  # by now the application has all its routes
            refuse_below([self.prefix], self.gateway.asgi)
        except ConfigError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        with above(Place(self.prefix, self.gateway.asgi, self.shared)):
            if self.forward_lifespan:
                await wrap_lifespan(self.app, self.gateway.running, scope, receive, send)
            else:
                await self.gateway.asgi(scope, receive, send)

    def _below(self, scope: Scope) -> Scope | None:
        """The scope as the gateway sees it, mounted below the prefix; None when the request is not its own."""
        root: str = scope.get("root_path", "").rstrip("/")
        path: str = scope["path"]
        tail = path[len(root) :] if root and (path.startswith(f"{root}/") or path == root) else path
        if not (tail == self.prefix or tail.startswith(f"{self.prefix}/")):
            return None
        if tail is path and root:
            # This host takes root_path out of path; put it back, as the specification has it.
            path = root + path
        inner = dict(scope, root_path=root + self.prefix, path=path)
        return inner if not self.shared or self.gateway.asgi.knows(inner) else None
