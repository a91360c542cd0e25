"""Undoing, in the answer, what encoding the request changed: names, namespaces, free-text tools."""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Restore
from asgi_llm.neutral.request import Carrier, ToolCall

from .raws import compact, given
from .wire import FunctionCall

__all__ = ["call_of"]


def call_of(wire: FunctionCall, carriers: tuple[Carrier, ...], restore: Restore) -> ToolCall:
    """The call as the caller's request knows its tool. Its id stays empty where the upstream gave none.

    Raises:
        msgspec.ValidationError: it has no name, as the pieces of one that comes in pieces.
    """
    if not wire.name:
        raise msgspec.ValidationError("a call without a name")
    arguments = "{}" if given(wire.args) is None else compact(wire.args)
    shape = restore.tools.get(wire.name)
    if shape is None:
        return ToolCall(wire.id or "", wire.name, arguments, carriers=carriers)
    if shape.kind == "text":
        arguments = _free_text(arguments)
    return ToolCall(wire.id or "", shape.name, arguments, shape.kind, shape.namespace, shape.typed, carriers)


def _free_text(arguments: str) -> str:
    """The one string argument of a free-text tool's stand-in; all of the text where it is not that."""
    try:
        said: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    value = said.get("input") if isinstance(said, dict) else None
    return value if isinstance(value, str) else arguments
