"""Clients of httpx's kind whose requests go to the gateway in this process. The host in a URL does not matter, so that
the official SDKs work with the addresses they have.

The library is httpx2 where that is installed, as the official SDKs want it, else httpx; or the one that is given.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .bridge import Bridge, BrokenOff
from .call import Door

if TYPE_CHECKING:
    import httpx

__all__ = ["async_client", "sync_client"]

_BASE_URL = "http://gateway"

Submit = Callable[[Coroutine[Any, Any, Any]], "Future[Any]"]


def async_client(door: Door, library: ModuleType | None) -> "httpx.AsyncClient":
    """A client for the event loop it is used in."""
    lib: Any = library or _library()

    class Stream(lib.AsyncByteStream):  # type: ignore[misc]  # the library is chosen at run time
        def __init__(self, bridge: Bridge, request: Any) -> None:
            self._bridge = bridge
            self._request = request

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while data := await _patient(lib, self._request, self._bridge.take()):
                yield data

        async def aclose(self) -> None:
            self._bridge.leave()

    class Transport(lib.AsyncBaseTransport):  # type: ignore[misc]  # the library is chosen at run time
        async def handle_async_request(self, request: Any) -> Any:
            body = await request.aread()
            bridge = await _patient(lib, request, _call(door, request, body))
            status, headers = bridge.head.result()
            return lib.Response(status, headers=headers, stream=Stream(bridge, request), request=request)

    client: httpx.AsyncClient = lib.AsyncClient(
        transport=Transport(), base_url=_BASE_URL, timeout=None, trust_env=False
    )
    return client


def sync_client(door: Door, submit: Submit, library: ModuleType | None) -> "httpx.Client":
    """A client for code without an event loop; ``submit`` runs a coroutine in the loop that the gateway has for it."""
    lib: Any = library or _library()

    def wait(coroutine: Coroutine[Any, Any, Any]) -> Any:
        future = submit(coroutine)
        try:
            return future.result()
        finally:
            # Does nothing unless it was broken off from outside, as by Ctrl-C: nobody waits for it any more.
            future.cancel()

    class Stream(lib.SyncByteStream):  # type: ignore[misc]  # the library is chosen at run time
        def __init__(self, bridge: Bridge, request: Any) -> None:
            self._bridge = bridge
            self._request = request

        def __iter__(self) -> Iterator[bytes]:
            while data := wait(_patient(lib, self._request, self._bridge.take())):
                yield data

        def close(self) -> None:
            if not self._bridge.loop.is_closed():
                self._bridge.loop.call_soon_threadsafe(self._bridge.leave)

    class Transport(lib.BaseTransport):  # type: ignore[misc]  # the library is chosen at run time
        def handle_request(self, request: Any) -> Any:
            _refuse_in_loop()
            bridge = wait(_patient(lib, request, _call(door, request, request.read())))
            status, headers = bridge.head.result()
            return lib.Response(status, headers=headers, stream=Stream(bridge, request), request=request)

    client: httpx.Client = lib.Client(transport=Transport(), base_url=_BASE_URL, timeout=None, trust_env=False)
    return client


def _library() -> ModuleType:
    return importlib.import_module("httpx2" if find_spec("httpx2") else "httpx")


def _call(door: Door, request: Any, body: bytes) -> Coroutine[Any, Any, Bridge]:
    path, _, query = request.url.raw_path.partition(b"?")
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return door.call(request.method, path.decode("ascii"), headers, body, query)


async def _patient(lib: Any, request: Any, waiting: Coroutine[Any, Any, Any]) -> Any:
    """What ``waiting`` gives, within the request's own read timeout, in the library's own exceptions."""
    try:
        async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
            return await waiting
    except TimeoutError:
        raise lib.ReadTimeout("the gateway has not answered in time", request=request) from None
    except BrokenOff as error:
        raise lib.RemoteProtocolError(str(error), request=request) from None


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("this client would block the event loop; asynchronous code has gateway.client()")
