"""What a tool that the gateway runs itself was asked and said, for dialects that have words for such tools."""

from collections.abc import Callable
from typing import Literal

from msgspec import Raw, Struct

from .request import Carrier, Part, ServerCall, ServerResult

__all__ = ["HostedForms", "Page", "Ran", "RanKind"]

RanKind = Literal["web_search", "mcp", "mcp_list_tools", "mcp_approval"]


class Page(Struct, frozen=True):
    """What a search found."""

    url: str
    title: str = ""
    text: str = ""


class Ran(Struct, frozen=True, kw_only=True):
    """``id`` is that of its item. ``server`` is the label of an MCP server, ``name`` its tool's. ``output`` is what it
    said; ``error`` an object that tells what went wrong. ``tools`` is the list of an ``mcp_list_tools``, ``approval``
    the id of the approval that a call was made by, ``carriers`` the proof of the thoughts that led to it. Without an
    ``end`` it is not done yet."""

    kind: RanKind
    id: str
    name: str = ""
    server: str = ""
    arguments: str = ""
    end: Literal["completed", "failed"] | None = None
    output: str | None = None
    error: Raw | None = None
    pages: tuple[Page, ...] = ()
    tools: Raw | None = None
    approval: str | None = None
    carriers: tuple[Carrier, ...] = ()


class HostedForms(Struct, frozen=True):
    """How a dialect tells of such tools.

    Attributes:
        prefixes: of the ids of each kind; a kind that is not there cannot be told of.
        begun: the part that tells that it runs.
        ended: the part that tells what came of it; None where ``begun`` told all.
        read: what parts of the history tell, the call and what came of it; None where that is another's.
        approvals: what a part of the history says of an approval: its id, whether it was given, and why.
        arguments: those of a call as they come back in a history.
    """

    prefixes: dict[RanKind, str]
    begun: Callable[[Ran], Part]
    ended: Callable[[Ran], Part | None]
    read: Callable[[ServerCall, ServerResult | None], Ran | None]
    approvals: Callable[[ServerResult], tuple[str, bool, str] | None]
    arguments: Callable[[str], str] = str
