"""MCP servers: which ones a request may use, what of them, and what they have."""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError, Kind
from asgi_llm.identity import Identity
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import MCPServerSettings, MCPSettings
from asgi_llm.upstream.guard import Guard
from asgi_llm.upstream.mcp import Connection, ServerTool, Where

__all__ = ["Server", "Servers", "tool_list"]

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN = re.compile(r"[!-~]+")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~]*")
_OWN = frozenset({"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "te",
                  "transfer-encoding", "upgrade"})  # fmt: skip
_LONGEST = 2048
_PORTS = {"http": 80, "https": 443}


class _Filter(Struct):
    tool_names: list[str] | None = None
    read_only: bool | None = None

    def matches(self, tool: ServerTool) -> bool:
        if self.tool_names is not None and tool.name not in self.tool_names:
            return False
        return self.read_only is None or _read_only(tool) is self.read_only


class _Approval(Struct):
    always: _Filter | None = None
    never: _Filter | None = None


class _Definition(Struct):
    server_label: str = ""
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = None
    headers: dict[str, str] | None = None
    allowed_tools: list[str] | _Filter | None = None
    require_approval: str | _Approval | None = None
    barred_tools: list[str] = []


class _Annotations(Struct):
    readOnlyHint: bool = False  # noqa: N815  # the protocol's word


_definition = msgspec.json.Decoder(_Definition)
_annotations = msgspec.json.Decoder(_Annotations)


class Server(Struct, eq=False):
    """A server as one request may use it. ``known`` is the label that the settings have for it, if they have one."""

    label: str
    where: Where
    known: str | None
    wished: _Definition
    ruled: MCPServerSettings | None
    path: str

    def permits(self, tool: ServerTool) -> bool:
        """Whether the settings and the request let the tool be used."""
        ruled, wish = self.ruled, self.wished.allowed_tools
        ruling = () if ruled is None else ruled.allowed_tools
        if ruling and not any(fnmatchcase(tool.name, pattern) for pattern in ruling):
            return False
        if tool.name in self.wished.barred_tools:
            return False
        if wish is None:
            return True
        return tool.name in wish if isinstance(wish, list) else wish.matches(tool)

    def asks(self, tool: ServerTool) -> bool:
        """Whether the caller is asked before the tool is called: it is unless it said otherwise, and may."""
        ruled = None if self.ruled is None else self.ruled.require_approval
        wish = self.wished.require_approval
        if ruled == "always":
            return True
        if wish is None:
            return ruled != "never"
        if isinstance(wish, str):
            return wish != "never"
        if wish.always is not None and wish.always.matches(tool):
            return True
        return wish.never is None or not wish.never.matches(tool)


class Servers:
    """Compiled from the settings. ``clock`` tells seconds."""

    __slots__ = ("_clock", "_guard", "_hosts", "_listed", "_settings")

    def __init__(self, settings: MCPSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._guard = Guard(settings.addresses)
        self._hosts = [compile_glob(pattern) for pattern in settings.hosts]
        self._listed: dict[str, tuple[float, list[ServerTool]]] = {}

    def find(self, raw: Raw | None, path: str, identity: Identity) -> Server:
        """The server that the definition ``raw`` of a tool names.

        Raises:
            ClientError: it is not what the API takes, or not to be used here.
        """
        try:
            said = _definition.decode(raw or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            where = str(error).partition("`$.")[2].partition("`")[0]
            said_wrong = f"{path}: {str(error).partition(' - at')[0][:200]}"
            raise ClientError(said_wrong, param=f"{path}.{where}".rstrip(".")) from None
        if not _LABEL.fullmatch(said.server_label):
            place = f"{path}.server_label"
            raise ClientError(f"{place}: expected up to 64 letters, digits, - and _.", param=place)
        if said.connector_id or said.tunnel_id:
            name = "connector_id" if said.connector_id else "tunnel_id"
            raise _refused(f"{path}.{name}", "connectors and tunnels are OpenAI's own, and not known here")
        for known, ruled in self._settings.servers.items():
            if (said.server_url is None and known == said.server_label) or said.server_url == ruled.url:
                return self._known(said, known, ruled, path, identity)
        if said.server_url is None:
            raise _refused(f"{path}.server_label", f'no MCP server is known as "{said.server_label}"')
        self._check(said.server_url, f"{path}.server_url")
        there = self._where(said.server_url, _headers(said, path), self._guard)
        return Server(said.server_label, there, None, said, None, path)

    async def tools(self, server: Server, connection: Connection) -> list[ServerTool]:
        """What it has, or had a short while ago.

        Raises:
            ToolServerError: it could not be asked.
        """
        # What a server shows may depend on who asks, so only what the settings alone decide is remembered.
        shared = server.known if not (server.wished.authorization or server.wished.headers) else None
        now = self._clock()
        if shared is not None and (kept := self._listed.get(shared)) is not None and kept[0] > now:
            return kept[1]
        found = await connection.tools()
        if shared is not None:
            self._listed[shared] = now + self._settings.cache_seconds, found
        return found

    def _known(self, said: _Definition, known: str, ruled: MCPServerSettings, path: str, identity: Identity) -> Server:
        if ruled.roles and not set(ruled.roles) & set(identity.roles):
            raise _refused(f"{path}.server_label", f'no MCP server is known as "{said.server_label}"')
        headers = _headers(said, path)
        own = {name.lower(): value.get_secret_value() for name, value in ruled.headers.items()}
        return Server(said.server_label, self._where(ruled.url, {**headers, **own}, None), known, said, ruled, path)

    def _where(self, url: str, headers: Mapping[str, str], guard: Guard | None) -> Where:
        settings = self._settings
        return Where(url, headers, guard, settings.connect_timeout, settings.call_timeout, settings.max_answer)

    def _check(self, url: str, place: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise ClientError(f"{place}: expected the URL of an MCP server.", param=place) from None
        if not host or len(url) > _LONGEST or parts.username is not None or parts.password is not None:
            raise ClientError(f"{place}: expected the URL of an MCP server.", param=place)
        authority = host if port in (None, _PORTS.get(parts.scheme)) else f"{host}:{port}"
        if parts.scheme not in self._settings.schemes or not any(match(authority) for match in self._hosts):
            raise _refused(place, "this gateway does not go to MCP servers there")


def _headers(said: _Definition, path: str) -> dict[str, str]:
    """What the caller wants to be sent to its server."""
    headers: dict[str, str] = {}
    for name, value in (said.headers or {}).items():
        own = name.lower() in _OWN or name.lower().startswith("mcp-")
        if own or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ClientError(f"{path}.headers: not a header that may be sent.", param=f"{path}.headers")
        headers[name.lower()] = value
    if said.authorization is not None:
        if not _TOKEN.fullmatch(said.authorization):
            raise ClientError(f"{path}.authorization: expected a token.", param=f"{path}.authorization")
        headers["authorization"] = f"Bearer {said.authorization}"
    return headers


def _read_only(tool: ServerTool) -> bool:
    try:
        return _annotations.decode(tool.annotations).readOnlyHint
    except (msgspec.MsgspecError, RecursionError):
        return False


def _refused(param: str, why: str) -> ClientError:
    return ClientError(f"{param}: {why}.", code="mcp_server_not_allowed", param=param, kind=Kind.PERMISSION)


def tool_list(raw: Any) -> list[ServerTool]:
    """The tools in an ``mcp_list_tools`` item; none where it is malformed."""
    try:
        return msgspec.json.decode(raw, type=list[ServerTool])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
