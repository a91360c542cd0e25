"""The gateway in front of an application: takes the requests below its prefix and leaves all others alone."""

from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.types import ASGIApp, Receive, Scope, Send

from .lifespan import wrap_lifespan

if TYPE_CHECKING:
    from asgi_llm.gateway import Gateway

__all__ = ["LLMMiddleware"]

_LAYERS = 100
"""Layers of middleware that are looked through; whatever has more of them goes round in circles."""


class LLMMiddleware:
    """Pure ASGI middleware.

    Args:
        app: the application behind.
        gateway: what answers below ``prefix``.
        prefix: where, e.g. ``/llm``; "" answers at the root and implies ``shared``.
        shared: whether paths below the prefix that the gateway does not know belong to the application.
        forward_lifespan: whether ``app`` takes part in the lifespan (Django's handler must not be asked to).

    Raises:
        ConfigError: the prefix is not a path, or a middleware further in has it and would never be asked.
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
        elif scope["type"] == "lifespan":
            if self.forward_lifespan:
                await wrap_lifespan(self.app, self.gateway.running, scope, receive, send)
            else:
                await self.gateway.asgi(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refuse_double_mounting(self) -> None:
        # Middleware keeps what is behind it as ``app``, by a convention that all frameworks share.
        behind: object = self.app
        for _ in range(_LAYERS):
            # Where the prefix is shared, another gateway may serve endpoints that this one does not.
            if (
                isinstance(behind, LLMMiddleware)
                and behind.prefix == self.prefix
                and (behind.gateway is self.gateway or not self.shared)
            ):
                said = f'"{self.prefix or "/"}" is taken by another LLMMiddleware around the same application'
                raise ConfigError([Problem("prefix", said)])
            behind = getattr(behind, "app", None)

    def _below(self, scope: Scope) -> Scope | None:
        """The scope as the gateway sees it, mounted below the prefix; None when the request is not its own."""
        root: str = scope.get("root_path", "").rstrip("/")
        path: str = scope["path"]
        tail = path[len(root) :] if root and path.startswith((f"{root}/", root)) else path
        if not (tail == self.prefix or tail.startswith(f"{self.prefix}/")):
            return None
        if tail is path and root:
            # This host takes root_path out of path; put it back, as the specification has it.
            path = root + path
        inner = dict(scope, root_path=root + self.prefix, path=path)
        return inner if not self.shared or self.gateway.asgi.knows(inner) else None
