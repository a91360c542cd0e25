"""Responses. What stands in an earlier response that is only referred to is not seen."""

from msgspec import Raw, Struct

from .parts import Content, add_content
from .pieces import Pieces, RoutingText
from .reading import read, reader

__all__ = ["responses"]

STEERING = frozenset(
    {
        "reasoning",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_list_tools",
        "item_reference",
        "compaction",
        "compaction_trigger",
        "configuration_update",
        "additional_tools",
        "image_generation_call",
    }
)
"""Items that hold thoughts, blobs or lists of tools, or only steer."""


class Item(Struct):
    type: str | None = None
    role: str | None = None
    content: Content = None
    name: str | None = None
    arguments: Raw = Raw()
    input: Raw = Raw()
    code: str | None = None
    action: Raw = Raw()
    operation: Raw = Raw()
    output: Content = None
    outputs: Content = None
    results: Content = None


class Request(Struct):
    instructions: str | list[Item] | None = None
    input: str | list[Item] | None = None


_reader = reader(Request)


def responses(body: bytes) -> RoutingText:
    found = Pieces()
    request = read(_reader, body)
    for items in (request.instructions, request.input):
        if isinstance(items, str):
            found.add(items)
        elif items is not None:
            for item in items:
                _add_item(found, item)
    return found.join()


def _add_item(found: Pieces, item: Item) -> None:
    match item.role:
        case "user":
            found.asked()
        case "system" | "developer":
            pass
        case _:
            # Everything else is said, thought or done by the model, or answers what it did.
            found.answered()
    if item.type in STEERING:
        return
    add_content(found, item.content)
    if item.type not in (None, "message"):
        found.add(item.name)
        for raw in (item.arguments, item.input, item.action, item.operation):
            found.add_json(raw)
        found.add(item.code)
        for content in (item.output, item.outputs, item.results):
            add_content(found, content)
