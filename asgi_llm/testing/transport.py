"""A scripted upstream as an httpx transport: the same wire bytes, parsed in process.

The only module of the kit that needs httpx; imported when a transport is asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httptools

from .answer import Answer, Close, Delay, Reset, Stall, Step, Wait
from .recorded import Recorded
from .server import Director

if TYPE_CHECKING:
    import httpx

__all__ = ["scripted_transport"]


def scripted_transport(director: Director, library: ModuleType | None = None) -> "httpx.AsyncBaseTransport":
    """A transport for ``library.AsyncClient`` whose requests are answered by ``director``."""
    if library is None:
        import httpx

        library = httpx
    lib: Any = library

    class Stream(lib.AsyncByteStream):  # type: ignore[misc]  # the library is chosen at run time
        def __init__(self, player: "_Player", request: Recorded) -> None:
            self._player = player
            self._request = request

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while data := await self._player.read():
                self._request.sent += len(data)
                yield data
            self._request.answered.set()

        async def aclose(self) -> None:
            if not self._player.ended:
                self._request.disconnected.set()

    class Transport(lib.AsyncBaseTransport):  # type: ignore[misc]  # the library is chosen at run time
        async def handle_async_request(self, request: Any) -> Any:
            recorded = Recorded(
                method=request.method,
                path=request.url.raw_path.partition(b"?")[0].decode("latin-1"),
                query=request.url.query.decode("latin-1"),
                headers=[(name.lower(), value) for name, value in request.headers.raw],
                body=await request.aread(),
                connection=0,
            )
            player = _Player(await director.answer(recorded), lib, request)
            try:
                await player.read_head()
            except BaseException:
                if not player.ended:
                    recorded.disconnected.set()
                raise
            return lib.Response(player.status, headers=player.headers, stream=Stream(player, recorded))

    transport: httpx.AsyncBaseTransport = Transport()
    return transport


class _Player:
    """Plays one answer into a parser of HTTP answers."""

    def __init__(self, answer: Answer, lib: Any, request: Any) -> None:
        self._steps: Iterator[Step] = answer.pieces()
        self._lib = lib
        self._request = request
        self._seconds: float | None = request.extensions.get("timeout", {}).get("read")
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._delimited = False
        self._headed = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.ended = False

    async def read_head(self) -> None:
        while not self._headed:
            await self._step()

    async def read(self) -> bytes:
        """The next piece of the body; b"" at its end."""
        while not self._body and not self.ended:
            await self._step()
        data = b"".join(self._body)
        self._body.clear()
        return data

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        self._delimited |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        if not self._headed:
            self.headers.clear()
            self._delimited = False

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        self.ended = self._headed

    async def _step(self) -> None:
        match step := next(self._steps, Stall()):
            case bytes():
                try:
                    self._parser.feed_data(step)
                except httptools.HttpParserError as error:
                    raise self._error("RemoteProtocolError", str(error)) from error
            case Close():
                self._close()
            case Reset():
                self.ended = True
                raise self._error("ReadError", "connection reset")
            case Delay() | Wait() | Stall():
                async with self._patience():
                    await _pause(step)

    def _close(self) -> None:
        complete = self._headed and not self._delimited
        self.ended = True
        if not complete:
            raise self._error("RemoteProtocolError", "the peer closed the connection before the answer was whole")

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        clock = asyncio.timeout(self._seconds)
        try:
            async with clock:
                yield
        except TimeoutError:
            if clock.expired():
                raise self._error("ReadTimeout", "nothing came in time") from None
            raise

    def _error(self, name: str, message: str) -> Exception:
        error: Exception = getattr(self._lib, name)(message, request=self._request)
        return error


async def _pause(step: Delay | Wait | Stall) -> None:
    match step:
        case Delay():
            await asyncio.sleep(step.seconds)
        case Wait():
            await step.event.wait()
        case Stall():
            await asyncio.Event().wait()
