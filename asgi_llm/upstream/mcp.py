"""Connections to MCP servers, by the official client, which is asked for when the first one is made.

A server that a caller names is reached at an address that was judged, and at no other. Nothing here knows what a tool
is good for. Model Context Protocol, "Transports: Streamable HTTP" and "Tools".
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError

from .guard import Guard

if TYPE_CHECKING:
    import httpx2
    from mcp import Client

__all__ = ["Connection", "ServerTool", "ToolAnswer", "ToolServerError", "Where"]

_PORTS = {"http": 80, "https": 443}
_PAGES = 20
_MOST_TOOLS = 512
_SHOWN = 500


class ToolServerError(Exception):
    """A server does not do its work. ``code`` is an HTTP status or a JSON-RPC code, ``kind`` says which; the message
    is safe to show."""

    def __init__(self, message: str, *, kind: str = "http_error", code: int = 502) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class Where(Struct, frozen=True):
    """``guard`` judges the addresses that a caller's URL leads to; None for a server of the settings."""

    url: str
    headers: Mapping[str, str]
    guard: Guard | None
    connect_timeout: float
    call_timeout: float
    max_answer: int


class ServerTool(Struct, frozen=True, omit_defaults=True):
    """A tool as its server tells it; also how it is told in an ``mcp_list_tools`` item."""

    name: str
    input_schema: Raw = Raw(b'{"type":"object","properties":{}}')
    description: str | None = None
    annotations: Raw = Raw(b"null")


class ToolAnswer(Struct, frozen=True):
    """What a call came to. ``content`` is the JSON of its content blocks."""

    text: str
    failed: bool
    content: Raw


class Connection:
    """One session with one server, opened by the first who needs it and kept until it is closed. The session lives in
    a task of its own, so that it may be asked from any."""

    __slots__ = ("_closing", "_ready", "_refused", "_spawn", "_task", "_where")

    def __init__(self, where: Where, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]) -> None:
        self._where = where
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[Client] | None = None
        self._refused = False

    async def tools(self) -> list[ServerTool]:
        """All tools that it has.

        Raises:
            ToolServerError: it could not be asked.
        """
        found: list[ServerTool] = []
        with self._told():
            async with asyncio.timeout(self._where.connect_timeout):
                client = await self._client()
                cursor: str | None = None
                for _ in range(_PAGES):
                    page = await client.list_tools(cursor=cursor)
                    found += [_tool(tool) for tool in page.tools]
                    cursor = page.next_cursor
                    if not cursor or len(found) >= _MOST_TOOLS:
                        break
        return found[:_MOST_TOOLS]

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolAnswer:
        """
        Raises:
            ToolServerError: it could not be asked, or gave no answer.
        """
        with self._told():
            async with asyncio.timeout(self._where.connect_timeout + self._where.call_timeout):
                client = await self._client()
                result = await client.call_tool(name, arguments, read_timeout_seconds=self._where.call_timeout)
            return _answer(result)
        raise AssertionError  # pragma: no cover  # told() passes on whatever came

    def close(self) -> None:
        """Ends the session, if there is one. Never blocks."""
        self._closing.set()

    async def _client(self) -> "Client":
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = self._spawn(self._live(self._ready), "MCP session")
        return await asyncio.shield(self._ready)

    async def _live(self, ready: "asyncio.Future[Client]") -> None:
        try:
            async with self._session() as client:
                if not ready.done():
                    ready.set_result(client)
                await self._closing.wait()
        except BaseException as error:
            if not ready.done():
                ready.set_exception(self._blame(error))
                ready.exception()  # whoever waited may have left
            if isinstance(error, asyncio.CancelledError):
                raise

    @contextlib.asynccontextmanager
    async def _session(self) -> "AsyncIterator[Client]":
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        where = self._where
        timeout = httpx2.Timeout(where.connect_timeout, read=where.call_timeout)
        transport = _transport(where, self._refuse)
        async with (
            httpx2.AsyncClient(
                transport=transport, headers=dict(where.headers), timeout=timeout, trust_env=False
            ) as http,
            Client(streamable_http_client(where.url, http_client=http), cache=None) as client,
        ):
            yield client

    def _refuse(self) -> None:
        self._refused = True

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (ToolServerError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self._blame(error) from error

    def _blame(self, error: BaseException) -> ToolServerError:
        """What may be said of it: no address, and no more of its words than a line."""
        if isinstance(error, ToolServerError):
            return error
        if self._refused:
            return ToolServerError("the server is at an address that this gateway does not go to", code=403)
        import httpx2
        from mcp.shared.exceptions import MCPError

        for one in _leaves(error):
            if isinstance(one, MCPError):
                return ToolServerError(one.error.message[:_SHOWN], kind="mcp_protocol_error", code=one.error.code)
            if isinstance(one, httpx2.HTTPStatusError):
                status = one.response.status_code
                return ToolServerError(f"the server answered with status {status}", code=status)
            if isinstance(one, TimeoutError | httpx2.TimeoutException):
                return ToolServerError("the server did not answer in time", code=504)
        return ToolServerError("the server could not be reached")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _tool(tool: Any) -> ServerTool:
    annotations = tool.annotations
    return ServerTool(
        tool.name,
        Raw(msgspec.json.encode(tool.input_schema)),
        tool.description,
        Raw(b"null")
        if annotations is None
        else Raw(annotations.model_dump_json(by_alias=True, exclude_none=True).encode()),
    )


def _answer(result: Any) -> ToolAnswer:
    texts, blocks = [], []
    for block in result.content:
        blocks.append(Raw(block.model_dump_json(by_alias=True, exclude_none=True).encode()))
        match block.type:
            case "text":
                texts.append(block.text)
            case "resource" if (text := getattr(block.resource, "text", None)) is not None:
                texts.append(text)
            case "resource_link":
                texts.append(str(block.uri))
            case kind:
                texts.append(f"[{kind}]")
    if not texts and result.structured_content is not None:
        texts.append(msgspec.json.encode(result.structured_content).decode())
    return ToolAnswer("\n".join(texts), bool(result.is_error), Raw(msgspec.json.encode(blocks)))


def _transport(where: Where, refuse: Callable[[], None]) -> "httpx2.AsyncBaseTransport":
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        """Not more than so many bytes of an answer."""

        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = where.max_answer
            async for piece in self._stream:
                left -= len(piece)
                if left < 0:
                    raise ToolServerError("the server answered with more than may be read")
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Careful(httpx2.AsyncBaseTransport):
        """Goes to what was resolved and judged: a second look-up could find something else."""

        def __init__(self) -> None:
            self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await self._inner.handle_async_request(await self._judged(request))
            if isinstance(response.stream, httpx2.AsyncByteStream):
                response.stream = Bounded(response.stream)
            return response

        async def _judged(self, request: httpx2.Request) -> httpx2.Request:
            if where.guard is None:
                return request
            host, url = request.url.host, request.url
            try:
                found = await where.guard.resolve(host, url.port or _PORTS[url.scheme])
            except ClientError:
                refuse()
                raise httpx2.ConnectError("refused", request=request) from None
            except OSError as error:
                raise httpx2.ConnectError("no address", request=request) from error
            extensions = {**request.extensions, "sni_hostname": host}
            address = str(found[0][1][0])
            return httpx2.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,  # with the name of the host as it was
                stream=request.stream,
                extensions=extensions,
            )

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Careful()
