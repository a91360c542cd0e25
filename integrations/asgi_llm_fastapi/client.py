"""``llm_client``: models for the application's own endpoints, on account of the user they serve."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fastapi import Depends, HTTPException
from fastapi.params import Depends as Dependency

from asgi_llm import Gateway

from .identity import ToIdentity, as_identity

__all__ = ["llm_client"]


def llm_client(
    gateway: Gateway,
    identity: Callable[..., Any] | Dependency,
    *,
    to_identity: ToIdentity | None = None,
    library: ModuleType | None = None,
) -> Callable[..., Any]:
    """A dependency that gives ``gateway.client()`` for the user whom ``identity`` knows; where it knows nobody, the
    answer is 401.

        @app.post("/summary")
        async def summary(text: str, http: Annotated[AsyncClient, Depends(llm_client(gateway, current_user))]):
            openai = AsyncOpenAI(http_client=http, api_key="not needed")

    ``identity`` and ``to_identity`` are those of ``llm_router``, ``library`` that of ``Gateway.client``.
    """
    who = identity if isinstance(identity, Dependency) else Depends(identity)

    async def client(user: Any = who) -> Any:
        found = as_identity(user, to_identity)
        if found is None:
            raise HTTPException(401, "log in first", headers={"WWW-Authenticate": "Bearer"})
        return gateway.client(identity=found, library=library)

    return client
