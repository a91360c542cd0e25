"""Chat Completions."""

from msgspec import Struct

from .parts import Content, Function, add_content, add_function
from .pieces import Pieces, RoutingText
from .reading import read, reader

__all__ = ["chat"]


class Call(Struct):
    function: Function | None = None
    custom: Function | None = None


class Message(Struct):
    role: str | None = None
    content: Content = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None


class Request(Struct):
    messages: list[Message] = []


_reader = reader(Request)


def chat(body: bytes) -> RoutingText:
    found = Pieces()
    for message in read(_reader, body).messages:
        match message.role:
            case "user":
                found.asked()
            case "assistant":
                found.answered()
        add_content(found, message.content)
        found.add(message.refusal)
        for call in message.tool_calls or ():
            add_function(found, call.function or call.custom)
        add_function(found, message.function_call)
    return found.join()
