"""The tools that the gateway runs for one request: what they are called, what is done when the model calls one, and how
the request is said to an upstream that has none of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.identity import Identity
from asgi_llm.neutral.ran import HostedForms, Page, Ran
from asgi_llm.neutral.request import (
    FunctionTool,
    HostedTool,
    Part,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from asgi_llm.settings import ToolSettings
from asgi_llm.upstream.mcp import Connection, ServerTool, ToolServerError

from .ids import Batch
from .said import asked, cut, told
from .search import Search, SearchError, SearchQuery
from .servers import Server
from .transcript import History, closed, retold

__all__ = ["Job", "Kit", "Offer"]

_SEARCH = "web_search"
_SEARCH_TOOL = FunctionTool(
    _SEARCH,
    "Searches the web. Gives the addresses, titles and texts of pages that were found.",
    Raw(
        b'{"type":"object","properties":{"query":{"type":"string","description":"What to search for."}},'
        b'"required":["query"],"additionalProperties":false}'
    ),
)
_ENOUGH = "No more tools can be called for this answer. Answer with what is known."
_MOST_AT_ONCE = 64
_SERVERS = "mcp_servers"
"""What callers of Messages say of the servers besides."""
_object = msgspec.json.Decoder(dict[str, Any])


class _Filters(Struct):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class _Wish(Struct):
    """What the definition of a web search says; the two APIs have the domains in different places."""

    filters: _Filters | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: dict[str, Any] | None = None
    max_uses: int | None = None


class Offer(Struct, frozen=True):
    """One tool of one server, by the name that upstreams have for it."""

    server: Server
    tool: ServerTool


class Job:
    """A call that was begun. ``begun`` is what the caller is told of it at once. ``stops``: it is the caller's turn
    now."""

    __slots__ = ("_task", "begun", "call", "stops")

    def __init__(
        self,
        call: ToolCall,
        task: "asyncio.Task[tuple[Part | None, ToolResult]] | None",
        begun: Part | None = None,
        *,
        stops: bool = False,
    ) -> None:
        self.call = call
        self._task = task
        self.begun = begun
        self.stops = stops

    async def wait(self) -> tuple[Part | None, ToolResult]:
        """What the caller is told in the end, and the model."""
        if self._task is None:
            return None, ToolResult(self.call.id, is_error=True)
        return await self._task


class Kit:
    """See ``exchange.Hosted``. Belongs to one exchange.

    Attributes:
        asked: the request as the caller said it.
        prelude: what the caller is told before the answer: what servers have, calls that were approved.
    """

    def __init__(
        self, asked_: Request, history: History, forms: HostedForms, settings: ToolSettings, identity: Identity
    ) -> None:
        self.asked = asked_
        self.prelude: list[Part] = []
        self.rounds = settings.rounds
        self._history = history
        self._forms = forms
        self._settings = settings
        self._identity = identity
        self._left = _MOST_AT_ONCE * settings.rounds if asked_.max_tool_calls is None else asked_.max_tool_calls
        self._search: Search | None = None
        self._wish = _Wish()
        self._offers: dict[str, Offer] = {}
        self._placed: dict[int, list[FunctionTool]] = {}
        self._made: dict[str, tuple[ToolCall, ToolResult]] = {}
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[tuple[Part | None, ToolResult]]] = set()
        self._taken = {tool.name for tool in asked_.tools if not isinstance(tool, HostedTool)}

    # What there is

    def offer_search(self, place: int, tool: HostedTool, search: Search) -> None:
        """``place`` is that of its definition among the tools."""
        self._search = search
        try:
            self._wish = msgspec.json.decode(tool.raw or b"{}", type=_Wish)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._wish = _Wish()
        self._placed[place] = [structs.replace(_SEARCH_TOOL, cache=tool.cache)]
        if self._wish.max_uses is not None:
            self._left = min(self._left, self._wish.max_uses)

    def offer_server(self, place: int, server: Server, connection: Connection, tools: Sequence[ServerTool]) -> None:
        self._connections[server.label] = connection
        placed = self._placed[place] = []
        for tool in tools:
            if not server.permits(tool):
                continue
            name = _name(server.label, tool.name)
            while name in self._taken:
                name = f"mcp_{name}"
            self._taken.add(name)
            self._offers[name] = Offer(server, tool)
            placed.append(FunctionTool(name, tool.description, tool.input_schema, strict=False))

    def owns(self, name: str) -> bool:
        return name in self._offers or (name == _SEARCH and self._search is not None)

    # What an upstream is asked

    def rewritten(self, request: Request) -> Request:
        tools: list[Tool] = []
        for place, tool in enumerate(request.tools):
            tools += self._placed.get(place, [tool])
        turns = retold(request.turns, self._history, self._named, self._forms)
        return structs.replace(
            request,
            tools=tuple(tools),
            tool_choice=self._choice(request.tool_choice),
            turns=closed(turns, self._made),
            max_tool_calls=None if self._placed else request.max_tool_calls,
            ext={name: raw for name, raw in request.ext.items() if name != _SERVERS},
        )

    def _choice(self, choice: ToolChoice | None) -> ToolChoice | None:
        if choice is None or choice.mode in ("auto", "none", "required"):
            return choice
        every = tuple(self._offers)
        if choice.mode == "hosted":
            if choice.hosted == "web_search" and self._search is not None:
                return ToolChoice("tool", name=_SEARCH)
            if choice.hosted == "mcp":
                named = tuple(name for name, offer in self._offers.items() if choice.name in (None, offer.tool.name))
                return ToolChoice("tool", name=named[0]) if len(named) == 1 else ToolChoice("required")
            return choice
        if choice.mode == "allowed":
            names = [one for name in choice.names for one in (every if name == "mcp" else (name,))]
            return structs.replace(choice, names=tuple(names))
        return choice

    def _named(self, ran: Ran) -> str:
        if ran.kind == "web_search":
            return _SEARCH
        for name, offer in self._offers.items():
            if (offer.server.label, offer.tool.name) == (ran.server, ran.name):
                return name
        return _name(ran.server, ran.name)

    # What is done

    def begin(self, calls: Sequence[ToolCall]) -> list[Job]:
        """Runs what the model calls at once."""
        batch = Batch()
        return [self._begin(call, batch) for call in calls]

    async def make_approved(self) -> None:
        """Makes the calls that were approved since they were asked for."""
        batch = Batch()
        jobs = []
        for ran in self._history.pending:
            name = self._named(ran)
            call = ToolCall("", name, ran.arguments, carriers=ran.carriers)
            jobs.append(self._begin(call, batch, approval=ran.id))
        for job in jobs:
            ended, result = await job.wait()
            self.prelude += [part for part in (job.begun, ended) if part is not None]
            self._made[job.call.id] = job.call, result

    def _begin(self, call: ToolCall, batch: Batch, approval: str | None = None) -> Job:
        offer = self._offers.get(call.name)
        if self._left <= 0:
            named = structs.replace(call, id=batch.new_id(self._forms.prefixes["web_search"]))
            return Job(named, self._run(_refused(named.id, _ENOUGH)))
        self._left -= 1
        if offer is None:
            name, query = batch.new_id(self._forms.prefixes["web_search"]), _query(call.arguments)
            if self._search is None or call.name != _SEARCH:
                return Job(structs.replace(call, id=name), self._run(_refused(name, "There is no such tool.")))
            asked_ = msgspec.json.encode({"query": query}).decode()
            ran = Ran(kind="web_search", id=name, arguments=asked_, carriers=call.carriers)
            return self._job(ran, call, self._searched(ran, query, self._search))
        server, tool = offer.server, offer.tool
        kind: Any = "mcp_approval" if approval is None and server.asks(tool) else "mcp"
        ran = Ran(
            kind=kind,
            id=batch.new_id(self._forms.prefixes[kind]),
            name=tool.name,
            server=server.label,
            arguments=self._forms.arguments(call.arguments or "{}"),
            approval=approval,
            carriers=call.carriers,
        )
        if kind == "mcp_approval":
            return Job(structs.replace(call, id=ran.id), None, self._forms.begun(ran), stops=True)
        return self._job(ran, call, self._called(ran, server))

    def _job(self, ran: Ran, call: ToolCall, running: Any) -> Job:
        return Job(asked(ran, call.name), self._run(self._ended(running)), self._forms.begun(ran))

    async def _ended(self, running: Any) -> tuple[Part | None, ToolResult]:
        ran: Ran = await running
        return self._forms.ended(ran), told(ran)

    def _run(self, running: Any) -> "asyncio.Task[tuple[Part | None, ToolResult]]":
        task: asyncio.Task[tuple[Part | None, ToolResult]] = asyncio.get_running_loop().create_task(running)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _searched(self, ran: Ran, query: str, search: Search) -> Ran:
        wish, limit = self._wish, self._settings.max_result
        filters = wish.filters or _Filters(wish.allowed_domains, wish.blocked_domains)
        try:
            found = await search.find(
                SearchQuery(
                    query,
                    self._identity,
                    tuple(filters.allowed_domains or ()),
                    tuple(filters.blocked_domains or ()),
                    wish.user_location,
                    self._settings.max_results,
                )
            )
        except SearchError as error:
            return structs.replace(ran, end="failed", error=_failure("http_error", 502, str(error)))
        share = max(256, limit // max(1, len(found)))
        pages = tuple(Page(page.url, page.title, cut(page.text, share)) for page in found)
        return structs.replace(ran, end="completed", pages=pages)

    async def _called(self, ran: Ran, server: Server) -> Ran:
        try:
            arguments = _object.decode(ran.arguments or "{}")
            answer = await self._connections[server.label].call(ran.name, arguments)
        except ToolServerError as error:
            failure = _failure(error.kind, error.code, str(error))
            return structs.replace(ran, end="failed", error=failure)
        except (msgspec.MsgspecError, RecursionError):
            failure = _failure("mcp_protocol_error", -32602, "The arguments are no JSON object.")
            return structs.replace(ran, end="failed", error=failure)
        text = cut(answer.text, self._settings.max_result)
        if not answer.failed:
            return structs.replace(ran, end="completed", output=text)
        content = Raw(msgspec.json.encode([{"type": "text", "text": text or "The call failed."}]))
        failure = Raw(msgspec.json.encode({"type": "mcp_tool_execution_error", "content": content}))
        return structs.replace(ran, end="failed", error=failure)

    def close(self) -> None:
        """Breaks off what still runs, and ends the sessions."""
        for task in self._tasks:
            task.cancel()
        for connection in self._connections.values():
            connection.close()


def _query(arguments: str) -> str:
    """What a model wants to search for, also where it forgot the form."""
    try:
        return str(_object.decode(arguments).get("query") or "")
    except (msgspec.MsgspecError, RecursionError):
        return arguments


def _name(label: str, tool: str) -> str:
    return f"{label}__{tool}"


def _failure(kind: str, code: int, message: str) -> Raw:
    return Raw(msgspec.json.encode({"type": kind, "code": code, "message": message}))


async def _refused(name: str, why: str) -> tuple[Part | None, ToolResult]:
    return None, ToolResult(name, (Text(why),), is_error=True)
