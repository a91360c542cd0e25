"""Fetches media that a caller gave by URL, for upstreams that fetch none themselves.

The URL is the caller's, the network is ours: scheme, host and port must be allowed, the address must be public or
listed, every redirect is looked at like the first URL, nothing of the caller's is sent along, and what comes is read
no further than the limit.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from asgi_llm.errors import ClientError, UpstreamError
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import MediaSettings
from asgi_llm.types import Headers

from .guard import Guard
from .http1 import Http1Client
from .interface import ClientOptions, Timeouts, UpstreamRequest, UpstreamResponse
from .tls import client_context

__all__ = ["Download", "Downloader"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_HEADERS: Headers = [(b"accept", b"*/*"), (b"accept-encoding", b"identity"), (b"user-agent", b"asgi-llm")]
_LONGEST_URL = 8192
_SHOWN = 120
_SAFE = "/%:@!$&'()*+,;=~-._?"


class Download(Struct, frozen=True, gc=False):
    """``media_type`` as the server declared it, in lower case and without parameters; empty where it declared none."""

    media_type: str
    data: bytes


class _Purse:
    """Bytes that the files of one request may still have."""

    __slots__ = ("_left",)

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, size: int, url: str) -> None:
        """
        Raises:
            ClientError: there are not so many left.
        """
        self._left -= size
        if self._left < 0:
            raise ClientError(f"With the media at {_shown(url)} the files are too large.", code="media_too_large")


class Downloader:
    """One event loop's. ``clock`` tells seconds."""

    __slots__ = ("_cache", "_cached", "_clock", "_context", "_guard", "_hosts", "_places", "_settings", "_timeouts")

    def __init__(self, settings: MediaSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._guard = Guard(settings.addresses)
        self._hosts = [compile_glob(pattern) for pattern in settings.hosts]
        self._places = asyncio.Semaphore(settings.concurrency)
        self._context: ssl.SSLContext | None = None
        wait = settings.timeout
        self._timeouts = Timeouts(connect=wait, first_byte=wait, idle=wait, total=wait)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Download]] = OrderedDict()
        self._cached = 0

    async def fetch(self, tenant: str, urls: Collection[str]) -> dict[str, Download]:
        """What is at each of ``urls``, or what was there a short while ago. ``tenant`` shares that with no other.

        Raises:
            ClientError: the settings do not allow it, or it cannot be had.
        """
        settings = self._settings
        if len(urls) > settings.max_items:
            most = f"The request has {len(urls)} files to be fetched; {settings.max_items} are possible."
            raise ClientError(most, code="media_too_many")
        purse = _Purse(settings.total_bytes)
        tasks = [asyncio.create_task(self._fetch(tenant, url, purse)) for url in urls]
        try:
            async with asyncio.timeout(settings.timeout):
                found = await asyncio.gather(*tasks)
        except TimeoutError:
            slow = next((url for url, task in zip(urls, tasks, strict=True) if task.cancelled()), "")
            raise _unavailable(slow, "could not be fetched in time") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return dict(zip(urls, found, strict=True))

    async def _fetch(self, tenant: str, url: str, purse: "_Purse") -> Download:
        if (found := self._known(tenant, url)) is not None:
            purse.spend(len(found.data), url)
            return found
        async with self._places:
            found = await self._follow(url, purse)
        self._keep((tenant, url), found)
        return found

    def _known(self, tenant: str, url: str) -> Download | None:
        kept = self._cache.get((tenant, url))
        if kept is None or self._clock() - kept[0] > self._settings.cache_seconds:
            return None
        self._cache.move_to_end((tenant, url))
        return kept[1]

    def _keep(self, key: tuple[str, str], found: Download) -> None:
        if (old := self._cache.pop(key, None)) is not None:
            self._cached -= len(old[1].data)
        if len(found.data) > self._settings.cache_bytes:
            return
        self._cache[key] = self._clock(), found
        self._cached += len(found.data)
        while self._cached > self._settings.cache_bytes:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._cached -= len(dropped.data)

    async def _follow(self, url: str, purse: "_Purse") -> Download:
        at = url
        for _ in range(self._settings.redirects + 1):
            found = await self._get(at, url, purse)
            if isinstance(found, Download):
                return found
            at = urljoin(at, found)
        raise _unavailable(url, "is redirected too often")

    async def _get(self, at: str, url: str, purse: "_Purse") -> Download | str:
        """What is at ``at``, or where that is redirected to. ``url`` is what the caller wrote."""
        base, path = self._place(at, url)
        try:
            client = Http1Client(
                ClientOptions(
                    base_url=base,
                    timeouts=self._timeouts,
                    max_connections=1,
                    max_keepalive=0,
                    tls=await self._tls() if base.startswith("https") else None,
                    resolve=self._guard.resolve,
                )
            )
        except ValueError:
            raise _unavailable(url, "is no URL that can be fetched") from None
        try:
            response = await client.send(UpstreamRequest(b"GET", path, list(_HEADERS)))
            try:
                return await self._read(response, url, purse)
            finally:
                response.close()
        except UpstreamError as error:
            raise _unavailable(url, "could not be fetched") from error
        except ClientError as error:
            # The guard knows an address only, and must not tell it.
            own = error.code == "media_not_allowed"
            raise (_refused(url, "is at a place from which this gateway fetches nothing") if own else error) from None
        finally:
            await client.aclose()

    def _place(self, at: str, url: str) -> tuple[str, bytes]:
        """Base URL and path, for an allowed place.

        Raises:
            ClientError: it is not allowed, or is no URL.
        """
        try:
            parts = urlsplit(at)
            scheme, host, port = parts.scheme.lower(), (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise _unavailable(url, "is no URL that can be fetched") from None
        if len(at) > _LONGEST_URL or not host or parts.username is not None or parts.password is not None:
            raise _unavailable(url, "is no URL that can be fetched")
        name = f"[{host}]" if ":" in host else host
        own = port in (None, _PORTS.get(scheme))
        authority = name if own else f"{name}:{port}"
        if scheme not in self._settings.schemes or not any(match(authority) for match in self._hosts):
            raise _refused(url, "is at a place from which this gateway fetches nothing")
        path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        return f"{scheme}://{authority}", path.encode("ascii")

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(client_context)
        return self._context

    async def _read(self, response: UpstreamResponse, url: str, purse: "_Purse") -> Download | str:
        fields = dict(response.headers)
        if response.status in _REDIRECTS and (to := fields.get(b"location")):
            return to.decode("latin-1")
        if response.status != 200:
            raise _unavailable(url, f"was answered with status {response.status}")
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise _unavailable(url, "is compressed, which was not asked for")
        limit = self._settings.max_bytes
        length = fields.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > limit:
            raise _too_large(url, limit)
        pieces: list[bytes] = []
        size = 0
        while piece := await response.read():
            pieces.append(piece)
            size += len(piece)
            purse.spend(len(piece), url)
            if size > limit:
                raise _too_large(url, limit)
        declared = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
        return Download(declared.decode("latin-1"), b"".join(pieces))


def _shown(url: str) -> str:
    """The URL without what may be secret in it."""
    return url.partition("?")[0].partition("#")[0].rpartition("@")[2][:_SHOWN]


def _refused(url: str, why: str) -> ClientError:
    return ClientError(f"The media at {_shown(url)} {why}; send its content.", code="media_not_allowed")


def _unavailable(url: str, why: str) -> ClientError:
    return ClientError(f"The media at {_shown(url)} {why}.", code="media_unavailable")


def _too_large(url: str, limit: int) -> ClientError:
    return ClientError(f"The media at {_shown(url)} is larger than {limit} bytes.", code="media_too_large")
