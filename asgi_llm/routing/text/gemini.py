"""Gemini's generateContent, which takes every name in camel case and in snake case."""

from msgspec import Raw, Struct, field

from .pieces import Pieces, RoutingText
from .reading import read, reader

__all__ = ["gemini"]


class Function(Struct, gc=False):
    """A call (``args``) or its result (``response``)."""

    name: str | None = None
    args: Raw = Raw()
    response: Raw = Raw()


class Code(Struct, gc=False):
    """Code that the model ran, or what it printed."""

    code: str | None = None
    output: str | None = None


class Part(Struct):
    text: str | None = None
    thought: bool | None = None
    call: Function | None = field(name="functionCall", default=None)
    snake_call: Function | None = field(name="function_call", default=None)
    response: Function | None = field(name="functionResponse", default=None)
    snake_response: Function | None = field(name="function_response", default=None)
    code: Code | None = field(name="executableCode", default=None)
    snake_code: Code | None = field(name="executable_code", default=None)
    result: Code | None = field(name="codeExecutionResult", default=None)
    snake_result: Code | None = field(name="code_execution_result", default=None)


class Turn(Struct):
    role: str | None = None
    parts: list[Part] | None = None


class Request(Struct):
    cached: str | None = field(name="cachedContent", default=None)
    snake_cached: str | None = field(name="cached_content", default=None)
    system: Turn | None = field(name="systemInstruction", default=None)
    snake_system: Turn | None = field(name="system_instruction", default=None)
    contents: list[Turn] = []


_reader = reader(Request)


def gemini(body: bytes) -> RoutingText:
    found = Pieces()
    request = read(_reader, body)
    found.add(request.cached or request.snake_cached)
    if system := request.system or request.snake_system:
        _add(found, system)
    for turn in request.contents:
        if turn.role == "model":
            found.answered()
        else:
            found.asked()
        _add(found, turn)
    return found.join()


def _add(found: Pieces, turn: Turn) -> None:
    for part in turn.parts or ():
        if part.thought:
            continue
        found.add(part.text)
        if function := part.call or part.snake_call or part.response or part.snake_response:
            found.add(function.name)
            found.add_json(function.args)
            found.add_json(function.response)
        if code := part.code or part.snake_code or part.result or part.snake_result:
            found.add(code.code)
            found.add(code.output)
