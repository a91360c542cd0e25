"""Items of tools that the gateway runs: ``web_search_call``, ``mcp_list_tools``, ``mcp_call``,
``mcp_approval_request``.

OpenAI Responses API reference, "Output items". Two members are the gateway's own, and kept by those who send the item
back: a search's results stand in ``results``, for the model must find in the history what it was told, and ``proof`` is
what its provider wants back with the call.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.ran import HostedForms, Page, Ran
from asgi_llm.neutral.request import Carrier, ServerCall, ServerResult

from .wire import encode

__all__ = ["FORMS"]

_PREFIXES = {"web_search": "ws_", "mcp": "mcp_", "mcp_list_tools": "mcpl_", "mcp_approval": "mcpr_"}
_TYPES = {
    "web_search": "web_search_call",
    "mcp": "mcp_call",
    "mcp_list_tools": "mcp_list_tools",
    "mcp_approval": "mcp_approval_request",
}
_NULL = Raw(b"null")


class _Action(Struct, frozen=True):
    query: str | None = None


class _Item(Struct):
    id: str = ""
    name: str = ""
    server_label: str = ""
    arguments: str = ""
    status: str | None = None
    output: str | None = None
    error: Raw = _NULL
    tools: Raw = _NULL
    approval_request_id: str | None = None
    action: _Action = _Action()
    results: list[Page] | None = None
    proof: tuple[Carrier, ...] = ()


class _Approval(Struct):
    approval_request_id: str
    approve: bool
    reason: str | None = None


class _Query(Struct):
    query: str = ""


def begun(ran: Ran) -> ServerCall:
    """An approval is all told by its request, and so ends here."""
    whole = ran.kind == "mcp_approval"
    item = Raw(encode(_item(ran, ran.arguments if whole else "")))
    status = None if whole else "in_progress"
    return ServerCall("responses", ran.kind, ran.id, ran.name or None, ran.arguments, status, item)


def ended(ran: Ran) -> ServerResult | None:
    if ran.kind == "mcp_approval":
        return None
    return ServerResult("responses", ran.kind, ran.id, raw=Raw(encode(_item(ran, ran.arguments))))


def _item(ran: Ran, arguments: str) -> dict[str, Any]:
    item: dict[str, Any] = {"id": ran.id, "type": _TYPES[ran.kind]}
    if ran.carriers:
        item["proof"] = ran.carriers
    if ran.kind == "web_search":
        query = _query(ran.arguments)
        action: dict[str, Any] = {"type": "search", "query": query, "queries": [query]}
        item |= {"status": ran.end or "in_progress", "action": action}
        if ran.end is not None:
            action["sources"] = [{"type": "url", "url": page.url} for page in ran.pages]
            item["results"] = ran.pages
        return item
    item["server_label"] = ran.server
    if ran.kind == "mcp_list_tools":
        return {**item, "tools": ran.tools or [], "error": ran.output}
    item |= {"name": ran.name, "arguments": arguments}
    if ran.kind == "mcp":
        error, status = ran.error, ran.end or "in_progress"
        item |= {"status": status, "output": ran.output, "error": error, "approval_request_id": ran.approval}
    return item


def read(call: ServerCall, _result: ServerResult | None) -> Ran | None:
    if call.dialect != "responses" or call.kind not in _PREFIXES:
        return None
    try:
        item = msgspec.json.decode(call.raw or b"{}", type=_Item)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if call.kind == "web_search" and item.results is None:
        return None
    kind: Any = call.kind
    arguments = item.arguments
    if call.kind == "web_search":
        arguments = encode({"query": item.action.query or ""}).decode()
    return Ran(
        kind=kind,
        id=item.id,
        name=item.name,
        server=item.server_label,
        arguments=arguments,
        end="failed" if item.status == "failed" or bytes(item.error) != b"null" else "completed",
        output=item.output,
        error=None if bytes(item.error) == b"null" else item.error,
        pages=tuple(item.results or ()),
        tools=None if bytes(item.tools) == b"null" else item.tools,
        approval=item.approval_request_id,
        carriers=item.proof,
    )


def approvals(part: ServerResult) -> tuple[str, bool, str] | None:
    if part.dialect != "responses" or part.kind != "mcp_approval":
        return None
    try:
        said = msgspec.json.decode(part.raw or b"{}", type=_Approval)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return said.approval_request_id, said.approve, said.reason or ""


def _query(arguments: str) -> str:
    try:
        return msgspec.json.decode(arguments, type=_Query).query
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


FORMS = HostedForms(prefixes=_PREFIXES, begun=begun, ended=ended, read=read, approvals=approvals)  # type: ignore[arg-type]  # a literal for each key
