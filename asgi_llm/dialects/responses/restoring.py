"""Tool calls of an answer, given back the shape that their tools have for the caller."""

import msgspec
from msgspec import Struct

from asgi_llm.dialects.interface import Restore
from asgi_llm.neutral.request import ToolCall

__all__ = ["restored", "unwrapped"]


class _Wrapped(Struct):
    input: str


def restored(call: ToolCall, restore: Restore) -> ToolCall:
    """The call as the caller's own tools have it: name, namespace, free text instead of the object around it."""
    shape = restore.tools.get(call.name)
    if shape is None:
        return call
    arguments, kind = call.arguments, call.kind
    if shape.kind == "text" and kind == "json":
        arguments, kind = unwrapped(arguments), "text"
    return msgspec.structs.replace(
        call,
        name=shape.name,
        namespace=shape.namespace or call.namespace,
        typed=shape.typed or call.typed,
        arguments=arguments,
        kind=kind,
    )


def unwrapped(arguments: str) -> str:
    """The text of a free-text tool that was sent as a function with one string; as it is where the model erred."""
    try:
        return msgspec.json.decode(arguments, type=_Wrapped).input
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return arguments
