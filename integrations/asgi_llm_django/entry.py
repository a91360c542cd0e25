"""The door from Django to the gateway: the scope of a request, and who it is from."""

from collections.abc import Sequence
from functools import partial

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from asgi_llm import Gateway
from asgi_llm.client.bridge import Serve
from asgi_llm.identity import IDENTITY_KEY, TARGET_KEY
from asgi_llm.types import Headers, Scope

from .identity import Source, identify
from .refusal import as_error, as_raised

__all__ = ["scope_of", "serve_to"]


def scope_of(request: HttpRequest, rest: str) -> Scope:
    """The request as the gateway sees it, mounted at all that stands before ``rest`` in its path."""
    mount = request.path[: len(request.path) - len(rest)].rstrip("/")
    own = request.scope if isinstance(request, ASGIRequest) else _wsgi_scope(request)
    return dict(own, path=request.path, root_path=mount)


async def serve_to(gateway: Gateway, scope: Scope, request: HttpRequest, sources: Sequence[Source]) -> Serve:
    """How ``gateway`` is to answer: the caller that one of ``sources`` knows, or a refusal if one raised it.

    The target may be chosen by what runs before, as ``request.META["asgi_llm.target"]``.
    """
    if _wants_user(gateway, scope):
        try:
            identity = await identify(request, sources)
        except Exception as raised:
            if (error := as_error(raised)) is None:
                raise
            return lambda receive, send, raised=raised: gateway.asgi.refuse(  # type: ignore[misc]  # bound early
                scope, receive, as_raised(send, raised), error
            )
        if identity is not None:
            scope[IDENTITY_KEY] = identity
    if target := request.META.get(TARGET_KEY):
        scope[TARGET_KEY] = target
    return partial(gateway.asgi, scope)


def _wants_user(gateway: Gateway, scope: Scope) -> bool:
    """Probes come without a user, and ASGI middleware may have said already who calls."""
    path = scope["path"][len(scope["root_path"]) :].rstrip("/")
    found = gateway.asgi.table.find(path or "/")
    return found is not None and not found[0].public and scope.get(IDENTITY_KEY) is None


def _wsgi_scope(request: HttpRequest) -> Scope:
    meta = request.META
    headers: Headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in meta.items()
        if name.startswith("HTTP_")
    ]
    headers += [
        (name.replace("_", "-").lower().encode("ascii"), value.encode("latin-1"))
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if (value := meta.get(name))
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": meta.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2],
        "method": request.method,
        "scheme": request.scheme,
        "query_string": meta.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (meta["REMOTE_ADDR"], 0) if meta.get("REMOTE_ADDR") else None,
        "server": (meta.get("SERVER_NAME", ""), int(meta.get("SERVER_PORT") or 0)),
    }
