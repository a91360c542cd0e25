"""The dependency ``llm_client``: models for the application's own handlers, on account of the user they serve."""

from collections.abc import Callable
from typing import Annotated, Any

from litestar import Request
from litestar.exceptions import NotAuthorizedException

from asgi_llm import Gateway
from asgi_llm.identity import IDENTITY_KEY

from .config import LLMPluginConfig
from .identity import as_identity

__all__ = ["USER", "client_provider"]

USER = "llm_user"
"""The name of ``identity`` among dependencies."""


def client_provider(config: LLMPluginConfig, gateway: Gateway) -> Callable[..., Any]:
    """Gives ``gateway.client()`` for whom an authentication middleware, or the dependency ``USER``, knows."""

    def client_for(user: Any) -> Any:
        identity = as_identity(user, config.to_identity)
        if identity is None:
            raise NotAuthorizedException("log in first", headers={"WWW-Authenticate": "Bearer"})
        return gateway.client(identity=identity)

    async def by_request(request: Request[Any, Any, Any]) -> Any:
        named = request.scope.get(IDENTITY_KEY)
        return client_for(request.scope.get("user")) if named is None else gateway.client(identity=named)  # type: ignore[arg-type]  # an Identity, by the key's contract

    async def by_dependency(llm_user: Annotated[Any, USER]) -> Any:
        return client_for(llm_user)

    return by_request if config.identity is None else by_dependency
