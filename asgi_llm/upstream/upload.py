"""Sends a body while it arrives: as fast as the upstream takes it, and no longer than it listens."""

import asyncio

from . import failures
from .connection import Connection
from .interface import BodySource

__all__ = ["upload"]


async def upload(connection: Connection, head: "asyncio.Future[bytes]", source: BodySource) -> None:
    """Sends all of ``source`` behind a head that is out, or stops as soon as ``head`` is done: an upstream may say no
    before it has heard all.

    Raises:
        Exception: what ``source`` raised; UpstreamError: it has less than it said.
    """
    left = source.length
    while not head.done():
        connection.rest()
        piece = await _unless(head, source)
        if piece is None:
            return
        if not piece:
            if left:
                raise failures.reset("The upload was not whole.")
            connection.send_piece(b"0\r\n\r\n")
            connection.all_sent()
            return
        room = connection.send_piece(b"%x\r\n%b\r\n" % (len(piece), piece) if left is None else piece)
        if left is not None:
            left -= len(piece)
            if not left:
                # Before the source says so itself: the answer may be here by then.
                connection.all_sent()
                return
        if room is not None:
            await asyncio.wait((head, room), return_when=asyncio.FIRST_COMPLETED)


async def _unless(head: "asyncio.Future[bytes]", source: BodySource) -> bytes | None:
    """The next piece, or None when ``head`` is done before it is there."""
    reading = asyncio.ensure_future(source.read())
    try:
        await asyncio.wait((head, reading), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        reading.cancel()
        raise
    if not head.done():
        return reading.result()
    if not reading.cancel() and not reading.cancelled():
        reading.exception()  # looked at, so that asyncio does not log it
    return None
