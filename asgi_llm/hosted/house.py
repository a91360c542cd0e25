"""Which requests the gateway runs tools for: those for an upstream that has none of its own."""

import asyncio
import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import msgspec
from msgspec import Raw, structs

from asgi_llm.errors import AsgiLLMError, ClientError, ConfigError, Kind, Problem
from asgi_llm.exchange import Exchange, Fitting
from asgi_llm.neutral.ran import HostedForms, Ran
from asgi_llm.neutral.request import HostedTool, Request
from asgi_llm.pipeline.plan import Leg, Plan
from asgi_llm.pipeline.prepare import decoded
from asgi_llm.runtime import Runtime
from asgi_llm.settings import Settings
from asgi_llm.upstream.mcp import Connection, ServerTool, ToolServerError

from .ids import MADE_HERE, Batch
from .kit import Kit
from .search import Search
from .servers import Server, Servers, tool_list
from .toolsets import server_definition
from .transcript import History, read_history

__all__ = ["House", "house_opener"]

_MARKS = (b'"mcp', b"web_search")
_NATIVE = {
    "web_search": frozenset({("responses", "responses"), ("messages", "responses"), ("gemini", "responses"),
                             ("responses", "messages"), ("messages", "messages"), ("gemini", "messages")}),
    "mcp": frozenset({("responses", "responses"), ("messages", "messages")}),
}  # fmt: skip
"""(the upstream's dialect, the caller's) where an upstream that is its dialect's origin runs such a tool itself."""


def house_opener(settings: Settings) -> "Callable[[Runtime], House] | None":
    """What opens it for one event loop; None where the settings name no tool.

    Raises:
        ConfigError: what MCP needs is not installed.
    """
    tools = settings.tools
    if tools.web_search is None and tools.mcp is None:
        return None
    if tools.mcp is not None:
        if find_spec("mcp") is None:
            raise ConfigError([Problem("tools.mcp", 'MCP servers need an extra: pip install "asgi-llm[mcp]"')])
        importlib.import_module("mcp.client.streamable_http")  # takes long, and so not in a request

    return House


class House:
    """One event loop's. See ``runtime.Workshop``."""

    __slots__ = ("_search", "_servers", "_settings")

    def __init__(self, runtime: Runtime) -> None:
        self._settings = settings = runtime.blueprint.settings.tools
        self._search = None if settings.web_search is None else Search(settings, settings.web_search)
        self._servers = None if settings.mcp is None else Servers(settings.mcp, runtime.loop.time)

    async def aclose(self) -> None:
        if self._search is not None:
            await self._search.aclose()

    async def open(self, runtime: Runtime, exchange: Exchange) -> None:
        """Fills in ``hosted``, and makes all legs of the plan translated, where the request has a tool that the
        gateway is to run.

        Raises:
            ClientError: it names a server that may not be used, or that does not answer.
        """
        forms, plan, body = exchange.dialect.hosted, exchange.plan, exchange.body
        if forms is None or plan is None or exchange.forward is not None or not any(mark in body for mark in _MARKS):
            return
        made_here = MADE_HERE.search(body) is not None
        if not made_here and not any(self._lacks(plan.legs[0], exchange, kind) for kind in ("web_search", "mcp")):
            return
        request = decoded(exchange)
        places = [
            (place, tool)
            for place, tool in enumerate(request.tools)
            if isinstance(tool, HostedTool) and tool.dialect == exchange.dialect.name
            if (made_here and self._runs(tool.kind)) or self._lacks(plan.legs[0], exchange, tool.kind)
        ]
        history = read_history(request, forms)
        if not places and not history.ran:
            return
        kit = Kit(request, history, forms, self._settings, exchange.identity)
        try:
            await self._furnish(runtime, exchange, kit, places, history, forms)
            await kit.make_approved()
        except BaseException:
            kit.close()
            raise
        exchange.hosted = kit
        exchange.continuation = _Taking(exchange.continuation, kit)
        exchange.plan = _taken(plan)

    def _runs(self, kind: str) -> bool:
        return (kind == "web_search" and self._search is not None) or (kind == "mcp" and self._servers is not None)

    def _lacks(self, leg: Leg, exchange: Exchange, kind: str) -> bool:
        """Whether the gateway runs such a tool, and the upstream does not."""
        if not self._runs(kind):
            return False
        return not (
            leg.crew.target.profile.origin and (leg.dialect.name, exchange.dialect.name) in _NATIVE.get(kind, ())
        )

    async def _furnish(
        self,
        runtime: Runtime,
        exchange: Exchange,
        kit: Kit,
        places: list[tuple[int, HostedTool]],
        history: History,
        forms: HostedForms,
    ) -> None:
        servers: list[tuple[int, Server]] = []
        for place, tool in places:
            path = f"tools[{place}]"
            if tool.kind == "web_search" and self._search is not None:
                kit.offer_search(place, tool, self._search)
            elif tool.kind == "mcp" and self._servers is not None:
                server = self._server(self._servers, kit, tool, path, exchange)
                if any(server.label == other.label for _, other in servers):
                    raise ClientError(f"{path}.server_label: is there twice.", param=f"{path}.server_label")
                servers.append((place, server))
        connections = [Connection(server.where, runtime.spawn) for _, server in servers]
        for (place, server), connection in zip(servers, connections, strict=True):
            kit.offer_server(place, server, connection, ())  # so that closing the kit closes it
        lists = [self._listed(server, one, history) for (_, server), one in zip(servers, connections, strict=True)]
        batch = Batch()
        for (place, server), connection, found in zip(servers, connections, await _all(lists), strict=True):
            kit.offer_server(place, server, connection, found)
            if server.label not in history.lists and "mcp_list_tools" in forms.prefixes:
                told = Raw(msgspec.json.encode([tool for tool in found if server.permits(tool)]))
                ran = Ran(
                    kind="mcp_list_tools",
                    id=batch.new_id(forms.prefixes["mcp_list_tools"]),
                    server=server.label,
                    tools=told,
                    end="completed",
                )
                empty = structs.replace(ran, tools=None, end=None)
                kit.prelude += [part for part in (forms.begun(empty), forms.ended(ran)) if part is not None]

    @staticmethod
    def _server(servers: Servers, kit: Kit, tool: HostedTool, path: str, exchange: Exchange) -> Server:
        """
        Raises:
            ClientError: it may not be used, or not in this API.
        """
        if tool.dialect == "responses":
            return servers.find(tool.raw, path, exchange.identity)
        definition = server_definition(tool.raw, kit.asked.ext.get("mcp_servers"), path)
        server = servers.find(definition, path, exchange.identity)
        if server.ruled is not None and server.ruled.require_approval == "always":
            said = f"{path}: its tools need the caller's approval, and this API has no words for that."
            raise ClientError(said, code="mcp_server_not_allowed", param=path, kind=Kind.PERMISSION)
        return server

    async def _listed(self, server: Server, connection: Connection, history: History) -> list[ServerTool]:
        """
        Raises:
            AsgiLLMError: the server did not tell.
        """
        known = history.lists.get(server.label)
        if known is not None and known.tools is not None:
            return tool_list(known.tools)
        assert self._servers is not None  # noqa: S101  # it found the server
        try:
            return await self._servers.tools(server, connection)
        except ToolServerError as error:
            raise AsgiLLMError(
                f'the tools of the MCP server "{server.label}" cannot be listed: {error}',
                kind=Kind.BAD_GATEWAY,
                code="mcp_server_unavailable",
                param=server.path,
            ) from error


async def _all(lists: list[Any]) -> list[list[ServerTool]]:
    tasks = [asyncio.ensure_future(one) for one in lists]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _taken(plan: Plan) -> Plan:
    changes: dict[str, Any] = {"direct": None, "patcher": None, "passes": False, "passes_plain": False}
    legs = (structs.replace(leg, mode="translated", **changes) for leg in plan.legs)
    return structs.replace(plan, legs=tuple(legs))


class _Taking:
    """See ``Fitting``. ``inner`` makes the body what it is asked for, before."""

    __slots__ = ("_inner", "_kit")

    def __init__(self, inner: Fitting | None, kit: Kit) -> None:
        self._inner = inner
        self._kit = kit

    def fit(self, exchange: Exchange, leg: Leg) -> None:
        request: Request = self._kit.asked
        if self._inner is not None:
            self._inner.fit(exchange, leg)
            request = decoded(exchange)
        exchange.request, exchange.fetched = self._kit.rewritten(request), False
