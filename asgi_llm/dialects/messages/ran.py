"""Blocks of tools that the gateway runs: ``server_tool_use`` with its result, ``mcp_tool_use`` with its result.

Anthropic Messages API, "Web search tool" and "MCP connector". What a page says stands in ``encrypted_content``, which
callers send back as it is: the model must find in the history what it was told.
"""

import base64
import binascii
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.ran import HostedForms, Page, Ran
from asgi_llm.neutral.request import ServerCall, ServerResult

__all__ = ["FORMS"]

_PREFIXES = {"web_search": "srvtoolu_", "mcp": "mcptoolu_"}
_MARK = "gw."
_encode = msgspec.json.Encoder().encode


class _Use(Struct):
    id: str = ""
    name: str = ""
    server_name: str = ""
    input: Raw = Raw(b"{}")


class _Hit(Struct):
    url: str = ""
    title: str | None = None
    encrypted_content: str = ""


class _Failed(Struct):
    error_code: str = "unavailable"


class _Text(Struct):
    text: str = ""


class _Found(Struct):
    content: list[_Hit] | _Failed = []


class _Said(Struct):
    is_error: bool = False
    content: list[_Text] | str = ""


def begun(ran: Ran) -> ServerCall:
    kind, name = ("server_tool_use", "web_search") if ran.kind == "web_search" else ("mcp_tool_use", ran.name)
    block: dict[str, Any] = {"type": kind, "id": ran.id, "name": name, "input": {}}
    if ran.kind == "mcp":
        block["server_name"] = ran.server
    return ServerCall("messages", ran.kind, ran.id, name, ran.arguments, raw=Raw(_encode(block)))


def ended(ran: Ran) -> ServerResult | None:
    block: dict[str, Any] = {"tool_use_id": ran.id}
    if ran.kind == "mcp":
        block |= {"type": "mcp_tool_result", "is_error": ran.end == "failed"}
        block["content"] = [{"type": "text", "text": ran.output or ""}]
    elif ran.end == "failed":
        block["type"] = "web_search_tool_result"
        block["content"] = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    else:
        block |= {"type": "web_search_tool_result", "content": [_hit(page) for page in ran.pages]}
    return ServerResult("messages", ran.kind, ran.id, raw=Raw(_encode(block)))


def _hit(page: Page) -> dict[str, Any]:
    kept = _MARK + base64.urlsafe_b64encode(page.text.encode("utf-8", "replace")).decode()
    return {
        "type": "web_search_result",
        "url": page.url,
        "title": page.title,
        "encrypted_content": kept,
        "page_age": None,
    }


def read(call: ServerCall, result: ServerResult | None) -> Ran | None:
    if call.dialect != "messages" or call.kind not in _PREFIXES or result is None:
        return None
    try:
        use = msgspec.json.decode(call.raw or b"{}", type=_Use)
        told = Ran(
            kind=call.kind,  # type: ignore[arg-type]  # one of the keys above
            id=use.id,
            name=use.name,
            server=use.server_name,
            arguments=_arguments(call.arguments.encode() or bytes(use.input)),
            end="completed",
        )
        if call.kind == "mcp":
            said = msgspec.json.decode(result.raw or b"{}", type=_Said)
            text = said.content if isinstance(said.content, str) else "\n".join(one.text for one in said.content)
            return msgspec.structs.replace(told, output=text, end="failed" if said.is_error else "completed")
        found = msgspec.json.decode(result.raw or b"{}", type=_Found).content
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if isinstance(found, _Failed):
        return msgspec.structs.replace(told, end="failed")
    pages = [Page(hit.url, hit.title or "", page) for hit in found if (page := _opened(hit)) is not None]
    return None if len(pages) < len(found) else msgspec.structs.replace(told, pages=tuple(pages))


def _arguments(said: bytes) -> str:
    """The same text whatever white space a caller put into it when it sent it back."""
    return msgspec.json.format(said, indent=-1).decode()


def _opened(hit: _Hit) -> str | None:
    """What the page says; None where another wrote it."""
    if not hit.encrypted_content.startswith(_MARK):
        return None
    try:
        return base64.urlsafe_b64decode(hit.encrypted_content[len(_MARK) :]).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None


def arguments(said: str) -> str:
    """Callers keep an object, and not how it was written."""
    try:
        return _arguments(said.encode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return said


def approvals(_part: ServerResult) -> None:
    """This API knows none."""


FORMS = HostedForms(
    prefixes=_PREFIXES,  # type: ignore[arg-type]  # a literal for each key
    begun=begun,
    ended=ended,
    read=read,
    approvals=approvals,
    arguments=arguments,
)
