"""Settings of the tools that the gateway runs itself, for upstreams that have no such tool."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_serializer

from .values import Glob, HeaderName, HeaderValue, HTTPAddress, Model, Network, one_of

__all__ = ["MCPServerSettings", "MCPSettings", "ToolSettings"]

_IMPORTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_URL = re.compile(r"https?://[^\s?#]+")


def _lower(value: str) -> str:
    return value.lower()


def _hook(value: str | Callable[..., Any]) -> str | Callable[..., Any]:
    if isinstance(value, str) and not (_IMPORTED.fullmatch(value) or _URL.fullmatch(value)):
        raise ValueError("is neither")
    return value


_Hook = Annotated[
    str | Callable[..., Any],
    AfterValidator(_hook),
    one_of('must be a callable, "package.module:function" or the URL of an endpoint'),
]


class MCPServerSettings(Model):
    """An MCP server that callers may name by its label.

    Attributes:
        url: of its streamable HTTP endpoint.
        headers: sent with every request to it; callers see none of them.
        allowed_tools: globs of the tools that may be used; empty for all. Callers can only narrow it.
        require_approval: ``always`` asks the caller before each call, ``never`` asks for none; not said, the caller's
            request decides. A caller may be more careful than ``never``, and not less than ``always``.
        roles: whose callers may use it; empty for everybody.
    """

    url: HTTPAddress
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    allowed_tools: tuple[Glob, ...] = ()
    require_approval: Literal["always", "never"] | None = None
    roles: tuple[str, ...] = ()


class MCPSettings(Model):
    """MCP servers that the gateway talks to.

    Attributes:
        servers: by their labels.
        hosts: globs of host names of servers that callers may give by URL; none by default. A port other than the
            scheme's own must be part of it.
        schemes: of such URLs.
        addresses: networks that such a host may be in although they are not public (``10.1.0.0/16``).
        connect_timeout: seconds until a server has told its tools; call_timeout: seconds of one call.
        cache_seconds: how long the tools of a server in ``servers`` are remembered; 0 for not at all.
        max_answer: bytes that a server may answer with at once; more breaks the call off.
    """

    servers: dict[str, MCPServerSettings] = Field(default_factory=dict)
    hosts: tuple[Annotated[Glob, AfterValidator(_lower)], ...] = ()
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    addresses: tuple[Network, ...] = ()
    connect_timeout: Annotated[float, Field(gt=0, le=600)] = 10
    call_timeout: Annotated[float, Field(gt=0, le=3600)] = 60
    cache_seconds: Annotated[float, Field(ge=0)] = 300
    max_answer: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024

    @field_serializer("addresses")
    def _plain(self, value: tuple[Network, ...]) -> list[str]:
        return [str(network) for network in value]


class ToolSettings(Model):
    """Off unless ``web_search`` or ``mcp`` is set. Upstreams that have such a tool themselves run it as before.

    Attributes:
        web_search: what searches the web: a callable, ``"package.module:function"``, or the URL of an endpoint.
        web_search_headers: sent to that endpoint.
        search_timeout: seconds of one search; max_results: how many of its results the model is given.
        mcp: which MCP servers may be used.
        rounds: how often the model may be asked again for one answer, with what its tools said.
        max_result: bytes of one tool's result that the model is given; the rest is cut off.
    """

    web_search: _Hook | None = None
    web_search_headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    search_timeout: Annotated[float, Field(gt=0, le=600)] = 15
    max_results: Annotated[int, Field(ge=1, le=50)] = 8
    mcp: MCPSettings | None = None
    rounds: Annotated[int, Field(ge=1, le=100)] = 10
    max_result: Annotated[int, Field(ge=1024)] = 64 * 1024
