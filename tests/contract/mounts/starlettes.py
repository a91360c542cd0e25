"""Starlette, with the gateway mounted; FastAPI, with its router."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .base import PAGE, Mount, Refused, user_of
from .plain import known

__all__ = ["FastAPIRouter", "StarletteMount"]


class StarletteMount(Mount):
    """A mounted application hears of no lifespan, so the host's own runs the gateway."""

    needs = ("starlette",)

    def build(self) -> Any:
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount as Below
        from starlette.routing import Route

        gateway = self.make_gateway()

        @asynccontextmanager
        async def lifespan(_app: Any) -> AsyncIterator[None]:
            async with gateway.running():
                yield

        async def page(_request: Any) -> Any:
            return PlainTextResponse(PAGE)

        inner = known(gateway.asgi, gateway.asgi.refuse)
        routes = [Below(self.prefix, app=inner), Route("/{rest:path}", page)]
        return Starlette(routes=routes, lifespan=lifespan)


class FastAPIRouter(Mount):
    needs = ("fastapi",)
    sockets = False

    def build(self) -> Any:
        from fastapi import FastAPI, HTTPException, Request
        from fastapi.responses import PlainTextResponse

        from asgi_llm_fastapi import llm_router

        def user(request: Request) -> Any:
            try:
                return user_of(request.headers)
            except Refused as error:
                raise HTTPException(403, str(error)) from error

        app = FastAPI()
        app.include_router(llm_router(self.make_gateway(), identity=user), prefix=self.prefix)

        @app.get("/{rest:path}")
        def page(rest: str) -> Any:
            return PlainTextResponse(PAGE)

        return app
