"""The view that hands requests to the gateway, and makes Django's response of its answer."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from asgi_llm.client.bridge import ReadPiece
from asgi_llm.client.thread import submit

from .bridge import Answer, open_bridge
from .database import release_connections
from .entry import scope_of, serve_to
from .project import get_project
from .threads import Pieces

__all__ = ["llm"]

logger = logging.getLogger("asgi_llm")

_PIECE = 4 * 1024 * 1024
"""Bytes of a request's body that are handed over at once."""


async def _llm(request: HttpRequest, rest: str = "", **_captured: Any) -> HttpResponseBase:
    """Answers everything below the prefix; ``rest`` is the path behind it. What else the prefix captures is for others
    to find in ``request.resolver_match``."""
    gateway, sources, *_ = get_project()
    serve = await serve_to(gateway, scope_of(request, rest), request, sources)
    await release_connections()
    if isinstance(request, ASGIRequest):
        answer = await open_bridge(gateway, functools.partial(_next_piece, request), serve)
        return _response(request, answer, answer.body)
    read: ReadPiece
    if _declared(request) > gateway.settings.limits.body:
        # A form with files, or too large: its pieces are taken from the socket if they are wanted.
        read = functools.partial(_next_piece, request)
    else:
        read = functools.partial(_only_piece, await sync_to_async(request.read)())
    answer = await asyncio.wrap_future(submit(gateway, open_bridge(gateway, read, serve)))
    return _response(request, answer, Pieces(answer.body))


def _marked(view: Any) -> Any:
    """With what Django must know about a view for programs. Who is known by a cookie is checked for forgery later on,
    who has not logged in is told so in an API's words, and no transaction may stay open while a model talks."""
    view = login_not_required(csrf_exempt(view))
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


llm = _marked(_llm)


async def _next_piece(request: HttpRequest) -> tuple[bytes, bool]:
    """Of a body that the server has handed over: all of it, unless it is large. ``read`` knows no limit on its size,
    unlike ``request.body``; the gateway has one of its own."""
    if _declared(request) <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        piece = request.read(_PIECE)
    else:
        # It may be in a file.
        piece = await asyncio.to_thread(request.read, _PIECE)
    return piece, len(piece) == _PIECE


async def _only_piece(body: bytes) -> tuple[bytes, bool]:
    return body, False


def _declared(request: HttpRequest) -> float:
    """Bytes, or infinite where the caller did not say."""
    said = request.META.get("CONTENT_LENGTH") or ""
    # An absurdly long number must not be parsed at all: that takes quadratic time.
    return int(said) if said.isdecimal() and len(said) < 19 else float("inf")


def _response(request: HttpRequest, answer: Answer, pieces: AsyncIterable[bytes] | Iterator[bytes]) -> HttpResponseBase:
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # Caches of the whole site go by cookies, and not by an Authorization header.
    headers.setdefault("cache-control", "private")
    if answer.whole is not None:
        return HttpResponse(answer.whole, status=answer.status, headers=headers)
    # Middleware that compresses goes by this. It would cost more than it saves on events of a few bytes.
    request.META["HTTP_ACCEPT_ENCODING"] = "identity"
    if not isinstance(request, ASGIRequest):
        _tell_about_wsgi()
    return StreamingHttpResponse(pieces, status=answer.status, headers=headers)


@functools.cache
def _tell_about_wsgi() -> None:
    logger.warning(
        "streams are served by WSGI: each holds a thread of the server until it ends, and a caller that leaves is "
        "noticed only when something is sent to it; serve the project by ASGI to avoid both"
    )
