"""Which backend serves a worker."""

from typing import Any

from .http1 import Http1Client
from .interface import Client, ClientOptions

__all__ = ["open_client"]


def open_client(options: ClientOptions, transport: Any = None) -> Client:
    """A client for one worker: our own HTTP/1.1, unless the options ask for a proxy, HTTP/2 or a given transport
    (of httpx or httpx2), which are httpx's business.

    Does no I/O and needs no event loop.

    Raises:
        ValueError: options that cannot work.
    """
    if transport is None and options.proxy is None and not options.http2:
        return Http1Client(options)
    from .httpx import HttpxClient  # httpx is slow to import, and most workers never need it

    return HttpxClient(options, transport)
