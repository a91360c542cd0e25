"""Without a framework: mounted by hand, and by the middleware."""

from typing import Any

from asgi_llm import LLMMiddleware, PolicyError
from asgi_llm.errors import Kind
from asgi_llm.identity import IDENTITY_KEY

from .base import PAGE, Mount, Refused, user_of

__all__ = ["Middleware", "RawASGI", "known"]


async def page(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": PAGE})


def known(app: Any, refuse: Any) -> Any:
    """Middleware that says who calls. ``refuse`` answers for the gateway."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                identity = user_of(headers)
            except Refused as error:
                said = PolicyError(str(error), kind=Kind.PERMISSION, code="host_refused")
                await refuse(scope, receive, send, said)
                return
            scope = {**scope, IDENTITY_KEY: identity}
        await app(scope, receive, send)

    return middleware


class RawASGI(Mount):
    """``gateway.asgi``, in a host that has its paths and its lifespan in its own hands."""

    def build(self) -> Any:
        gateway = self.make_gateway()

        async def host(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await gateway.asgi(scope, receive, send)
                return
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root)
            if path == self.prefix or path.startswith(f"{self.prefix}/"):
                inner = {**scope, "root_path": root + self.prefix, "path": root + path}
                await known(gateway.asgi, gateway.asgi.refuse)(inner, receive, send)
            else:
                await page(scope, receive, send)

        return host


class Middleware(Mount):
    shares = True

    def build(self) -> Any:
        gateway = self.make_gateway()
        return known(LLMMiddleware(page, gateway, self.prefix, shared=self.shared), gateway.asgi.refuse)
