"""Litestar, with the plugin."""

from typing import Any

from .base import PAGE, Mount, Refused, user_of

__all__ = ["LitestarPlugin"]


class LitestarPlugin(Mount):
    needs = ("litestar",)
    sockets = False

    def build(self) -> Any:
        from litestar import Litestar, Request, get
        from litestar.exceptions import PermissionDeniedException

        from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

        async def user(request: Request[Any, Any, Any]) -> Any:
            try:
                return user_of(request.headers)
            except Refused as error:
                raise PermissionDeniedException(str(error)) from error

        @get(["/about", "/llmfoo"], media_type="text/plain")
        async def page() -> bytes:
            return PAGE

        config = LLMPluginConfig(gateway=self.make_gateway(), path=self.prefix, identity=user)
        return Litestar([page], plugins=[LLMPlugin(config)], logging_config=None, openapi_config=None)
