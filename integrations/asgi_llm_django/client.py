"""Models for the project's own views, on account of the user they serve."""

from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from asgi_llm import Identity

from .identity import identity_of
from .project import get_project
from .roles import granted

__all__ = ["allm_client", "llm_client"]


def llm_client(request: HttpRequest, **options: Any) -> Any:
    """For views that are ``def``: ``Gateway.sync_client`` for ``request.user``, with its further ``options``.

        OpenAI(http_client=llm_client(request), api_key="not needed")

    Raises:
        PermissionDenied: nobody has logged in.
    """
    gateway, _, roles, *_ = get_project()
    return gateway.sync_client(identity=_known(request.user, roles), **options)


async def allm_client(request: HttpRequest, **options: Any) -> Any:
    """For views that are ``async def``: ``Gateway.client`` for the request's user.

    Raises:
        PermissionDenied: nobody has logged in.
    """
    gateway, _, roles, *_ = get_project()
    return gateway.client(identity=await sync_to_async(_known)(await request.auser(), roles), **options)


def _known(user: Any, roles: tuple[str, ...]) -> Identity:
    # Nobody must not become the application itself, which is whom the gateway takes for who is not named.
    identity = identity_of(user)
    if identity is None:
        raise PermissionDenied("log in first")
    return granted(identity, user, roles)
