"""The gateway as an ASGI application: finds the endpoint, hands calls to the pipeline, answers the rest itself."""

import logging
import re
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from asgi_llm.dialects.interface import Dialect
from asgi_llm.dialects.registry import ARRAYS, COUNTS, DIALECTS
from asgi_llm.endpoints import Endpoint, Table
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.exchange import Exchange, Forward
from asgi_llm.pipeline.handle import handle
from asgi_llm.pipeline.observe import note_answer
from asgi_llm.pipeline.refuse import refuse
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers, Receive, Scope, Send

from .caller import ASGICaller
from .lifespan import Running, serve_lifespan
from .mounts import refuse_below
from .paths import local_path
from .plain import answer_plain
from .stored import answer_stored
from .websocket import refuse_websocket, serve_websocket

__all__ = ["GatewayApp"]

logger = logging.getLogger("asgi_llm")

_GOOGLE = re.compile(r"/v1(?:beta1?|alpha)/|:(?:\w+Contents?|countTokens)$")
"""Paths that only Google's API has."""
_EXCHANGES = frozenset({"call", "count", "forward"})
"""Kinds of endpoints that take the way of a request."""
_REMEMBERED = 256
"""Most paths of calls that are remembered: below odd roots there could be any number."""


class GatewayApp:
    """An ASGI 3 application, mountable anywhere.

    ``runtime`` gives the running loop's runtime, opening it if no lifespan did; ``running`` is what a lifespan enters.
    """

    __slots__ = ("_calls", "_running", "_runtime", "_spoken", "table")

    def __init__(self, table: Table, runtime: Callable[[], Runtime], running: Running) -> None:
        self.table = table
        self._runtime = runtime
        self._running = running
        # Of calls, whatever else the request says.
        self._spoken = {
            endpoint.name: DIALECTS[endpoint.dialect]
            for endpoint in table.served
            if endpoint.kind == "call" and endpoint.dialect is not None and not endpoint.stream
        }
        self._calls: dict[tuple[str | None, str], tuple[str, Dialect]] = {}  # by where they were seen to point

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._serve_other(scope, receive, send)
            return
        runtime = self._runtime()
        caller = ASGICaller(runtime, scope, receive, send)
        call = self._calls.get((scope.get("root_path"), scope["path"]))
        if call is None or scope["method"] != "POST":
            await self._serve(runtime, caller)
            return
        name, dialect = call
        exchange = Exchange(id=runtime.new_id(), endpoint=name, dialect=dialect, started=runtime.loop.time())
        try:
            await handle(runtime, exchange, caller)
        finally:
            caller.close()
            if caller.gone and not caller.started:
                await caller.part()

    async def _serve(self, runtime: Runtime, caller: ASGICaller) -> None:
        """What is not a call whose path is known, which nearly all requests are."""
        scope = caller.scope
        path = local_path(scope)
        found = self.table.find(path) if path is not None else None
        if found is None:
            await self._refuse(runtime, caller, _unknown(path), _guess(caller, path or ""))
            return
        endpoint, rest = found
        dialect = self._spoken.get(endpoint.name)
        if dialect is not None and not rest and len(self._calls) < _REMEMBERED:
            self._calls[scope.get("root_path"), scope["path"]] = endpoint.name, dialect
        await self._serve_at(runtime, caller, endpoint, rest, path or "")

    async def _serve_at(self, runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, rest: str, path: str) -> None:
        method = caller.scope["method"]
        if method not in endpoint.methods:
            if rest and endpoint.kind not in ("admin", "stored"):  # below a model there is nothing but its verbs
                await self._refuse(runtime, caller, _unknown(path), _guess(caller, path))
                return
            await self._refuse_method(runtime, caller, endpoint, path)
            return
        dialect = _dialect(endpoint, caller, path)
        if endpoint.kind not in _EXCHANGES:
            answer = answer_stored if endpoint.kind == "stored" else answer_plain
            await answer(runtime, caller, endpoint, rest, dialect)
            return
        exchange = Exchange(
            id=runtime.new_id(),
            endpoint=endpoint.name,
            dialect=dialect,
            started=runtime.loop.time(),
            named=rest,
            stream=endpoint.stream,
        )
        if endpoint.forwarded is not None:
            exchange.forward = Forward(endpoint.forwarded, method.encode("ascii"))
        try:
            await handle(runtime, exchange, caller, counting=endpoint.kind == "count")
        finally:
            caller.close()
            if exchange.forward is not None and exchange.forward.upload is not None:
                exchange.forward.upload.close()
            if caller.gone and not caller.started:
                await caller.part()

    async def refuse(self, scope: Scope, receive: Receive, send: Send, error: AsgiLLMError) -> None:
        """Answers one HTTP request with ``error`` in its caller's dialect: how a host says no before the gateway is
        asked."""
        runtime = self._runtime()
        caller = ASGICaller(runtime, scope, receive, send)
        path = local_path(scope) or ""
        endpoint, _ = self.table.find(path) or (None, "")
        if endpoint is None:
            await self._refuse(runtime, caller, error, _guess(caller, path))
        else:
            await self._refuse(runtime, caller, error, _dialect(endpoint, caller, path), endpoint.name)

    async def refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Denies a WebSocket's handshake: how a host does that cannot find out who calls there."""
        await refuse_websocket(scope, receive, send)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await serve_lifespan(self._running, receive, send)
        elif scope["type"] == "websocket":
            runtime, found = self._runtime(), self.table.find(local_path(scope) or "")
            if runtime.blueprint.settings.responses.websocket and found is not None and found[0].name == "responses":
                await serve_websocket(self, runtime, scope, receive, send)
            else:
                await refuse_websocket(scope, receive, send)

    def knows(self, scope: Scope) -> bool:
        """Whether the request is for one of the gateway's own paths."""
        path = local_path(scope)
        return path is not None and self.table.find(path) is not None

    def refuse_hidden(self, paths: Iterable[str]) -> None:
        """For adapters, when their application starts: ``paths`` are where it is mounted in it.

        Raises:
            ConfigError: something in front of it answers there, or it is mounted twice at one of them.
        """
        refuse_below(paths, self)

    async def _refuse_method(self, runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, path: str) -> None:
        dialect = _dialect(endpoint, caller, path)
        methods = ", ".join(sorted(endpoint.methods))
        error = ClientError(f"{endpoint.path} takes {methods}", code="method_not_allowed", kind=Kind.METHOD_NOT_ALLOWED)
        await self._refuse(runtime, caller, error, dialect, endpoint.name, [(b"allow", methods.encode("ascii"))])

    async def _refuse(
        self,
        runtime: Runtime,
        caller: ASGICaller,
        error: AsgiLLMError,
        dialect: Dialect,
        endpoint: str = "unknown",
        more: Headers | None = None,
    ) -> None:
        exchange = Exchange(id=runtime.new_id(), endpoint=endpoint, dialect=dialect, started=runtime.loop.time())
        await refuse(exchange, error, caller, more)
        note_answer(runtime, endpoint, exchange.status)


def _dialect(endpoint: Endpoint, caller: ASGICaller, path: str) -> Dialect:
    name = endpoint.dialect
    if name is None:
        return _guess(caller, path)
    if endpoint.kind == "count":
        return COUNTS[name]
    if endpoint.forwarded is not None:
        return endpoint.forwarded.dialect
    if endpoint.stream and name in ARRAYS and parse_qs(caller.scope["query_string"]).get(b"alt") != [b"sse"]:
        return ARRAYS[name]
    return DIALECTS[name]


def _guess(caller: ASGICaller, path: str) -> Dialect:
    """Whose shapes a caller of an unknown or shared path understands: its headers and the path give it away."""
    fields = caller.fields
    if b"anthropic-version" in fields or "/messages" in path or path.startswith("/anthropic"):
        return DIALECTS["messages"]
    if b"x-goog-api-key" in fields or b"x-goog-api-client" in fields or _GOOGLE.search(path):
        return DIALECTS["gemini"]
    return DIALECTS["responses" if "/responses" in path else "chat"]


def _unknown(path: str | None) -> ClientError:
    return ClientError(
        f"there is no endpoint {path[:200] if path else 'here'}", code="unknown_endpoint", kind=Kind.NOT_FOUND
    )
