"""Small questions to a worker beside the requests it serves: is it well, what does it have, how much has it to do.

They go through the worker's own client, with its own key and headers, to its base URL, and never wait for long.
"""

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.upstream.interface import Timeouts, UpstreamRequest

from .station import Station
from .variation import variation_of

__all__ = ["ask"]

_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer that are read."""


async def ask(station: Station, path: bytes, seconds: float) -> tuple[int, bytes]:
    """Status and body of the answer to a GET of ``path`` below the base URL, within so many seconds.

    Raises:
        UpstreamError: there was none, or it is too large.
    """
    target = station.target
    dialect = target.dialects[0]
    headers = [pair for pair in target.headers[dialect] if pair[0] != b"content-type"]
    headers += target.provider.fixed_headers.get(dialect, ())
    timeouts = Timeouts(connect=seconds, first_byte=seconds, idle=seconds, total=seconds)
    request = UpstreamRequest(b"GET", path, headers, timeouts=timeouts)
    variation = variation_of(station.member, target.provider)
    response = await station.client.send(request if variation is None else variation.of(request))
    try:
        body = b""
        while more := await response.read():
            body += more
            if len(body) > _LIMIT:
                raise UpstreamError("the answer is too large", cause=Cause.CONTENT)
    finally:
        response.close()
    return response.status, body
