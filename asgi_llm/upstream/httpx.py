"""The second backend: what the first leaves out (proxies, HTTP/2, SOCKS, transports of the user's own).

The only importer of httpx, and only when used. A transport is called directly: no redirects, no environment, no
decoding, no default headers. httpx2 is served when a transport of it is handed in.

httpx limits single reads; the limits here are those of ``Timeouts``, kept by our own clock. Its ``trace`` extension
tells when a connection was made and when the request had been sent; a transport that does not support it has
``connect`` and ``first_byte`` together for both.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextvars import Context
from math import inf
from typing import Any

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.types import Headers

from . import failures
from .address import check_request, joined, parse_base_url
from .interface import BodySource, ClientOptions, Timeouts, UpstreamRequest
from .proxy import check_options
from .request_head import user_agent
from .tls import client_context

__all__ = ["HttpxClient"]

_MAX_HEADERS = 256


class HttpxClient:
    """Implements ``Client``. Bound to the event loop of its first request, and to a later one only after that loop
    was closed.

    Args:
        options: as for the other backend.
        transport: an ``AsyncBaseTransport`` of httpx or httpx2; pool, TLS and proxy are then its own
            business. It is closed with the client.

    Raises:
        ValueError: options that cannot work.
    """

    def __init__(self, options: ClientOptions, transport: Any = None) -> None:
        address = parse_base_url(options.base_url)
        check_options(options)
        scheme = "https" if address.secure else "http"
        self._origin = f"{scheme}://{address.authority.decode()}"
        self._base = address.path
        self._options = options
        self._given = transport
        self.module = _module_of(transport)
        self._context = options.tls
        if self._context is None and not address.secure and not (options.proxy or "").startswith("https:"):
            # Never used, but httpx wants one; the default one is slow to make.
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._transport: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: set[_Answer] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<HttpxClient in_use={len(self._answers)}>"

    @property
    def in_use(self) -> int:
        """Answers that were neither read to their end nor closed."""
        return len(self._answers)

    async def send(self, request: UpstreamRequest) -> "_Answer":
        """See ``Client.send``.

        Raises:
            UpstreamError: with the cause.
            ClientError: illegal bytes in the request's method, path or headers.
        """
        check_request(request)
        loop = asyncio.get_running_loop()
        timeouts = request.timeouts or self._options.timeouts
        total_at = loop.time() + timeouts.total if timeouts.total else inf
        transport = await self._ready(loop)
        answer = await self._ask(transport, request, timeouts, total_at)
        self._answers.add(answer)
        try:
            answer.check_head(self._options.max_head)
        except UpstreamError:
            answer.close()
            raise
        return answer

    async def aclose(self) -> None:
        """See ``Client.aclose``."""
        self._closed = True
        for answer in list(self._answers):
            answer.close()
        if self._loop is asyncio.get_running_loop():
            await asyncio.gather(*self._closing)
            transport, self._transport = self._transport, None
            if transport is not None:
                await transport.aclose()

    async def _ready(self, loop: asyncio.AbstractEventLoop) -> Any:
        if self._closed:
            raise failures.closed()
        if loop is not self._loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("an upstream client serves one event loop, and this one's is still open")
            self._loop = loop
            self._transport = self._given
        if self._transport is None:
            self._context = self._context or await asyncio.to_thread(client_context)
            if self._closed:
                raise failures.closed()
        if self._transport is None:  # still: another request may have been faster
            self._transport = self._new_transport(self._context)
        return self._transport

    def _new_transport(self, context: ssl.SSLContext | None) -> Any:
        httpx, options = self.module, self._options
        return httpx.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            http1=True,
            http2=options.http2,
            limits=httpx.Limits(
                max_connections=options.max_connections,
                max_keepalive_connections=options.max_keepalive,
                keepalive_expiry=options.keepalive,
            ),
            proxy=None if options.proxy is None else httpx.Proxy(options.proxy),
        )

    async def _ask(
        self, transport: Any, request: UpstreamRequest, timeouts: Timeouts, total_at: float, *, again: bool = False
    ) -> "_Answer":
        progress = _Progress(timeouts, total_at, traced=self._given is None)
        message = self._message(request, progress)
        try:
            async with asyncio.timeout_at(progress.begin()) as clock:
                progress.clock = clock
                response = await transport.handle_async_request(message)
        except TimeoutError:
            raise progress.failure() from None
        except (self.module.TransportError, OSError) as error:
            failure = self.translate(error, progress)
            if again or request.source is not None or not progress.stale or failure.cause is not Cause.RESET:
                failure.resent = again
                raise failure from None
        else:
            return _Answer(self, response, timeouts.idle, total_at, resent=again)
        return await self._ask(transport, request, timeouts, total_at, again=True)

    def _message(self, request: UpstreamRequest, progress: "_Progress") -> Any:
        headers = [*request.fixed, *request.headers]
        if not any(name == b"user-agent" for name, _ in headers):
            headers.append((b"user-agent", user_agent()))
        content: Any = request.body or None
        if request.source is not None:
            content = _pieces(request.source, progress)
            if request.source.length is not None:
                headers.append((b"content-length", b"%d" % request.source.length))
        return self.module.Request(
            request.method.decode(),
            self._origin + joined(self._base, request.path).decode(),
            headers=headers,
            content=content,
            extensions={"trace": progress.trace, "timeout": {}},
        )

    def translate(self, error: Exception, progress: "_Progress | None" = None) -> UpstreamError:
        """The one mapping of httpx's errors to ours."""
        httpx = self.module
        match error:
            case httpx.PoolTimeout():
                return failures.pool_timeout()
            case httpx.ConnectTimeout():
                return failures.timed_out(Cause.CONNECT_TIMEOUT)
            case httpx.TimeoutException():
                waiting = progress is not None
                return failures.timed_out(Cause.FIRST_BYTE_TIMEOUT if waiting else Cause.IDLE_TIMEOUT)
            case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
                return failures.tls() if _is_tls(error) else failures.unreachable()
            case httpx.ProtocolError():
                # h11 says in words only whether the peer broke off or broke the grammar.
                broke_off = "disconnected" in str(error) or "closed connection" in str(error)
                return failures.reset() if broke_off else failures.protocol()
            case _:
                return failures.reset()

    def forget(self, answer: "_Answer") -> None:
        """The answer needs its stream no more: close it, in a task, because ``close`` must not wait."""
        if answer not in self._answers:
            return
        self._answers.discard(answer)
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        task = loop.create_task(_aclose(answer.response), context=Context())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Answer:
    """Implements ``UpstreamResponse``."""

    __slots__ = (
        "_client", "_error", "_idle", "_pieces", "_total_at", "ended", "headers", "resent", "response", "status",
    )  # fmt: skip

    def __init__(
        self, client: HttpxClient, response: Any, idle: float, total_at: float, *, resent: bool = False
    ) -> None:
        self._client = client
        self._idle = idle
        self._total_at = total_at
        self._pieces: AsyncIterator[bytes] = aiter(response.stream)
        self._error: UpstreamError | None = None
        self.ended = False
        self.resent = resent
        self.response = response
        self.status: int = response.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers.raw]

    def check_head(self, max_head: int) -> None:
        """What the other backend refuses and this one's parsers let pass."""
        names = [name for name, _ in self.headers]
        if self.status < 200:
            raise failures.protocol("The upstream's answer has a status that was not asked for.")
        if len(names) > _MAX_HEADERS or sum(len(name) + len(value) + 4 for name, value in self.headers) > max_head:
            raise failures.protocol("The upstream's answer has too many headers.")
        if b"transfer-encoding" in names and b"content-length" in names:
            raise failures.protocol()

    def whole(self) -> None:
        return None

    async def read(self) -> bytes:
        """See ``UpstreamResponse.read``. Cancelling it closes the answer."""
        if self.ended:
            if self._error is not None:
                raise self._error
            return b""
        try:
            piece = await self._next()
        except BaseException as error:
            self._end(error if isinstance(error, UpstreamError) else None)
            raise
        if not piece:
            self._end(None)
        return piece

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        idle_at = loop.time() + self._idle if self._idle else inf
        at = min(idle_at, self._total_at)
        try:
            async with asyncio.timeout_at(None if at == inf else at):
                while True:
                    piece = await anext(self._pieces, None)
                    if piece is None:
                        return b""
                    if piece:
                        return piece
        except TimeoutError:
            cause = Cause.IDLE_TIMEOUT if idle_at < self._total_at else Cause.TOTAL_TIMEOUT
            raise failures.timed_out(cause) from None
        except (self._client.module.TransportError, OSError) as error:
            raise self._client.translate(error) from None

    def close(self) -> None:
        """See ``UpstreamResponse.close``."""
        if not self.ended:
            self._end(failures.reset("The answer was closed before its end."))

    def _end(self, error: UpstreamError | None) -> None:
        self.ended = True
        self._error = error
        self._client.forget(self)


class _Progress:
    """How far a request has come, as its trace tells; sets the clock for what comes next."""

    __slots__ = ("_timeouts", "_total_at", "_traced", "cause", "clock", "deadline", "stale")

    def __init__(self, timeouts: Timeouts, total_at: float, *, traced: bool) -> None:
        self._timeouts = timeouts
        self._total_at = total_at
        self._traced = traced
        self.cause = Cause.POOL_TIMEOUT if traced else Cause.FIRST_BYTE_TIMEOUT
        self.clock: asyncio.Timeout | None = None
        self.deadline = inf
        self.stale = False
        """The request went out on a connection that was not made for it, and nothing came back."""

    def begin(self) -> float | None:
        """The loop time by which the request must be on its way; by which its answer must have begun, where a
        transport that was given may say nothing in between."""
        connect, first_byte = self._timeouts.connect, self._timeouts.first_byte
        if self._traced:
            return self.until(connect)
        return self.until(connect + first_byte if connect and first_byte else 0)

    def until(self, limit: float) -> float | None:
        """The loop time by which the present step must be over."""
        at = asyncio.get_running_loop().time() + limit if limit else inf
        self.deadline = min(at, self._total_at)
        return None if self.deadline == inf else self.deadline

    def failure(self) -> UpstreamError:
        """The clock has run out."""
        if self.deadline >= self._total_at:
            return failures.timed_out(Cause.TOTAL_TIMEOUT)
        return failures.pool_timeout() if self.cause is Cause.POOL_TIMEOUT else failures.timed_out(self.cause)

    async def trace(self, event: str, _info: dict[str, Any]) -> None:
        """Called by httpcore at each step."""
        match event.split(".", 1)[-1]:
            case "connect_tcp.started" | "connect_unix_socket.started":
                self.cause = Cause.CONNECT_TIMEOUT
            case "send_request_headers.started":
                self.stale = self.cause is Cause.POOL_TIMEOUT
                self._next(Cause.IDLE_TIMEOUT, self._timeouts.idle)
            case "send_request_body.complete":
                self._next(Cause.FIRST_BYTE_TIMEOUT, self._timeouts.first_byte)

    def rest(self) -> None:
        """It is the caller's turn."""
        self._next(self.cause, 0)

    def work(self) -> None:
        """It is the upstream's turn."""
        self._next(Cause.IDLE_TIMEOUT, self._timeouts.idle)

    def _next(self, cause: Cause, limit: float) -> None:
        self.cause = cause
        if self.clock is not None:
            self.clock.reschedule(self.until(limit))


async def _pieces(source: BodySource, progress: "_Progress") -> AsyncIterator[bytes]:
    """A body as it arrives. Only what the upstream is slow in is held against it, so each piece starts the clock
    anew."""
    source.begin()
    while True:
        progress.rest()
        piece = await source.read()
        progress.work()
        if not piece:
            return
        yield piece


async def _aclose(response: Any) -> None:
    try:
        await response.stream.aclose()
    except Exception:  # noqa: BLE001 - closing has no one to tell, whatever a transport raises
        return


def _module_of(transport: Any) -> Any:
    """httpx2 for a transport of httpx2, httpx for everything else."""
    httpx2 = sys.modules.get("httpx2")
    if httpx2 is not None and isinstance(transport, httpx2.AsyncBaseTransport):
        return httpx2
    import httpx

    return httpx


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
