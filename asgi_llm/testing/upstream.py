"""A provider that says what the test tells it to say."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

from .answer import Answer
from .patience import PATIENCE, News, within
from .recorded import Recorded
from .server import Connection

if TYPE_CHECKING:
    import httpx

__all__ = ["ScriptedUpstream"]

Handler = Callable[[Recorded], Answer | Awaitable[Answer]]


class ScriptedUpstream:
    """A fake provider on a free port of the loopback interface.

    ``script`` is one answer for every request, a list of answers for one request each, or a callable that is given
    the request and returns (or awaits) its answer::

        async with ScriptedUpstream([chat_text("Hello!")]) as upstream:
            ...  # a target with base_url=f"{upstream.url}/v1"
            assert upstream.requests[0].json["model"] == "gpt-5-mini"

    Leaving the context closes all connections. It fails the test if a request came for which the script had no
    answer (such a request is answered 500), if something came that is not HTTP/1.1, or if the callable raised.
    With ``tls`` (a server-side context) it speaks https.
    """

    def __init__(self, script: Answer | Iterable[Answer] | Handler = (), *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Recorded] = []
        """The requests so far, in the order in which they became whole."""
        self.connections: set[Connection] = set()
        """Connections that are open now."""
        self.accepted = 0
        """How many connections were ever opened."""
        self._handler: Handler | None = None
        self._queue: deque[Answer] = deque()
        if isinstance(script, Answer):
            always = script
            self._handler = lambda _request: always
        elif callable(script):
            self._handler = script
        else:
            self._queue.extend(script)
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._blames: list[str] = []
        self._news = News()

    def push(self, *answers: Answer) -> None:
        """Add answers to the end of the script."""
        self._queue.extend(answers)

    @property
    def left(self) -> int:
        """How many answers of the list have not been asked for."""
        return len(self._queue)

    @property
    def port(self) -> int:
        """
        Raises:
            RuntimeError: outside the context there is no port.
        """
        if self._server is None:
            raise RuntimeError("a ScriptedUpstream has an address only inside `async with`")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def wait_request(self, number: int = 1, seconds: float = PATIENCE) -> Recorded:
        """The request of that number, counted from 1, as soon as it has arrived.

        Raises:
            AssertionError: it did not come within so many seconds.
        """
        what = f"waiting for request {number} at the scripted upstream ({len(self.requests)} so far)"
        await within(self._news.until(lambda: len(self.requests) >= number), seconds, what)
        return self.requests[number - 1]

    def transport(self, library: ModuleType | None = None) -> "httpx.AsyncBaseTransport":
        """The same script as an httpx transport, without a socket. ``library`` is a module with httpx's interface
        (httpx2, for one) to build it for; default httpx. Used outside of ``async with``, call ``check`` at the end."""
        from .transport import scripted_transport

        return scripted_transport(self, library)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
        if error is None:
            self.check()

    async def aclose(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is None:
            return
        self._server.close()
        tasks = [connection.task for connection in self.connections]
        for connection in list(self.connections):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await within(self._server.wait_closed(), PATIENCE, "closing the scripted upstream")
        self._server = None

    def check(self) -> None:
        """
        Raises:
            AssertionError: something happened that the script did not provide for.
        """
        if self._blames:
            blames, self._blames = self._blames, []
            raise AssertionError("the scripted upstream met " + "; and ".join(blames))

    # What the connections call.

    async def answer(self, request: Recorded) -> Answer:
        self.requests.append(request)
        self._news.ring()
        if self._queue:
            return self._queue.popleft()
        if self._handler is None:
            self.blame(f"a request without an answer in the script: {request.method} {request.path}")
            return Answer.json({"error": {"message": "the script has no answer for this", "type": "script"}}, 500)
        try:
            answer = self._handler(request)
            return answer if isinstance(answer, Answer) else await answer
        except Exception as error:  # noqa: BLE001  the test's own code: whatever it raises must fail the test
            self.blame(f"an error in its handler: {error!r}")
            return Answer.reset()

    def blame(self, message: str) -> None:
        self._blames.append(message)

    def _connect(self) -> Connection:
        self.accepted += 1
        return Connection(self, self.accepted)
