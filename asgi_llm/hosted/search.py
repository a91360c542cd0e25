"""Web search by what the settings name: a function of the host's, or an endpoint."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from asgi_llm.errors import ConfigError, Problem, UpstreamError
from asgi_llm.identity import Identity
from asgi_llm.settings import ToolSettings
from asgi_llm.types import Headers
from asgi_llm.upstream.http1 import Http1Client
from asgi_llm.upstream.interface import ClientOptions, Timeouts, UpstreamRequest
from asgi_llm.upstream.tls import client_context

__all__ = ["Found", "Search", "SearchError", "SearchQuery", "imported"]

logger = logging.getLogger("asgi_llm")

_MOST = 1024 * 1024


class SearchError(Exception):
    """The search gave nothing; the message is for the model."""


class SearchQuery(Struct, frozen=True):
    """What the function is asked. ``allowed_domains`` and ``blocked_domains`` are the caller's wish; ``location`` is
    where it says to be, as it says it. ``identity`` is who it is."""

    query: str
    identity: Identity
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: Mapping[str, Any] | None = None
    max_results: int = 8


class Found(Struct, frozen=True):
    """One result. ``text`` is what the model is given to read of it."""

    url: str
    title: str = ""
    text: str = ""


class _Results(Struct):
    results: list[Found] = []


_results = msgspec.json.Decoder(_Results)


def imported(name: str) -> Callable[..., Any]:
    """What ``package.module:function`` names.

    Raises:
        ConfigError: there is no such thing.
    """
    module, _, path = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError([Problem("tools.web_search", f"{name} cannot be imported: {error}")]) from error
    if not callable(found):
        raise ConfigError([Problem("tools.web_search", f"{name} is no function")])
    return found  # type: ignore[no-any-return]  # callable() said so


class Search:
    """One event loop's."""

    __slots__ = ("_client", "_headers", "_hook", "_path", "_settings", "_url")

    def __init__(self, settings: ToolSettings, hook: str | Callable[..., Any]) -> None:
        """
        Raises:
            ConfigError: the settings name a function that is not there.
        """
        self._settings = settings
        self._hook: Callable[..., Any] | None = None
        self._url = ""
        self._client: Http1Client | None = None
        if not isinstance(hook, str):
            self._hook = hook
        elif hook.startswith(("http://", "https://")):
            self._url = hook
        else:
            self._hook = imported(hook)
        parts = urlsplit(self._url)
        self._path = parts.path.encode() or b"/"
        headers = settings.web_search_headers.items()
        self._headers: Headers = [(name.lower().encode(), value.get_secret_value().encode()) for name, value in headers]
        self._headers.append((b"content-type", b"application/json"))

    async def find(self, query: SearchQuery) -> list[Found]:
        """At most as many results as the settings want.

        Raises:
            SearchError: it failed, or took too long.
        """
        try:
            async with asyncio.timeout(self._settings.search_timeout):
                found = await (self._called(query) if self._hook is not None else self._posted(query))
        except TimeoutError:
            raise SearchError("The search took too long.") from None
        except SearchError:
            raise
        except Exception as error:
            logger.warning("the web search failed", exc_info=error)
            raise SearchError("The search failed.") from error
        return [one for one in found if one.url][: self._settings.max_results]

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _called(self, query: SearchQuery) -> list[Found]:
        hook = self._hook
        assert hook is not None  # noqa: S101  # find() saw to it
        found = await hook(query) if inspect.iscoroutinefunction(hook) else await asyncio.to_thread(hook, query)
        if inspect.isawaitable(found):  # of an object that is called, for one
            found = await found
        return msgspec.convert(list(found or ()), list[Found], from_attributes=True)

    async def _posted(self, query: SearchQuery) -> list[Found]:
        client = await self._opened()
        asked = {
            "query": query.query,
            "allowed_domains": query.allowed_domains,
            "blocked_domains": query.blocked_domains,
            "location": query.location,
            "max_results": query.max_results,
        }
        request = UpstreamRequest(b"POST", self._path, list(self._headers), msgspec.json.encode(asked))
        try:
            response = await client.send(request)
        except UpstreamError as error:
            raise SearchError("The search cannot be reached.") from error
        try:
            if response.status != 200:
                raise SearchError(f"The search answered with status {response.status}.")
            body = b""
            while piece := await response.read():
                body += piece
                if len(body) > _MOST:
                    raise SearchError("The search answered with too much.")
        finally:
            response.close()
        return _results.decode(body).results

    async def _opened(self) -> Http1Client:
        if self._client is None:
            wait = self._settings.search_timeout
            parts = urlsplit(self._url)
            context = await asyncio.to_thread(client_context) if parts.scheme == "https" else None
            options = ClientOptions(
                base_url=f"{parts.scheme}://{parts.netloc}",
                timeouts=Timeouts(connect=wait, first_byte=wait, idle=wait, total=wait),
                tls=context,
            )
            return self._kept(Http1Client(options))
        return self._client

    def _kept(self, client: Http1Client) -> Http1Client:
        """``client``, unless another was made meanwhile; one that was never used needs no closing."""
        self._client = self._client or client
        return self._client
