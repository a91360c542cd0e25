"""Sends a body while it arrives: as fast as the upstream takes it, and no longer than it listens."""

import asyncio

from .connection import Connection
from .interface import BodySource

__all__ = ["upload"]


async def upload(connection: Connection, head: "asyncio.Future[None]", source: BodySource) -> None:
    """Sends all of ``source`` behind a head that is out, or stops as soon as ``head`` is done: an upstream may say no
    before it has heard all.

    Raises:
        Exception: what ``source`` raised.
    """
    chunked = source.length is None
    while not head.done():
        connection.rest()
        piece = await _unless(head, source)
        if piece is None:
            return
        if not piece:
            if chunked:
                connection.send_piece(b"0\r\n\r\n")
            connection.all_sent()
            return
        room = connection.send_piece(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if room is not None:
            await asyncio.wait((head, room), return_when=asyncio.FIRST_COMPLETED)


async def _unless(head: "asyncio.Future[None]", source: BodySource) -> bytes | None:
    """The next piece, or None when ``head`` is done before it is there."""
    reading = asyncio.ensure_future(source.read())
    try:
        await asyncio.wait((head, reading), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        reading.cancel()
        raise
    if reading.done():
        return reading.result()
    reading.cancel()
    return None
