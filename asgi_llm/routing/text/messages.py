"""Messages, with results of tools, documents and search results, which nest blocks in blocks."""

from msgspec import Raw, Struct

from .parts import THOUGHTS
from .pieces import Pieces, RoutingText
from .plain import plain_text
from .reading import read, reader

__all__ = ["messages"]

ATTRIBUTION = "x-anthropic-billing-header:"
"""How a line begins that Claude Code puts before its instructions. It differs from session to session, and would make
equal prompts look different from their first character on."""


class Source(Struct):
    type: str | None = None
    data: Raw = Raw()
    content: "str | list[Block] | None" = None


class Block(Struct):
    type: str | None = None
    text: str | None = None
    title: str | None = None
    context: str | None = None
    name: str | None = None
    input: Raw = Raw()
    source: str | Source | None = None
    content: "Content" = None
    stdout: str | None = None
    stderr: str | None = None


Content = str | list[Block] | Block | None


class Turn(Struct):
    role: str | None = None
    content: str | list[Block] | None = None


class Request(Struct):
    system: str | list[Block] | None = None
    messages: list[Turn] = []


_reader = reader(Request)


def messages(body: bytes) -> RoutingText:
    found = Pieces()
    request = read(_reader, body)
    _add_system(found, request.system)
    for turn in request.messages:
        match turn.role:
            case "user":
                found.asked()
            case "assistant":
                found.answered()
        _add(found, turn.content)
    return found.join()


def _add_system(found: Pieces, system: str | list[Block] | None) -> None:
    if isinstance(system, list):
        system = [block for block in system if not (block.text or "").startswith(ATTRIBUTION)]
    _add(found, system)


def _add(found: Pieces, content: Content) -> None:
    if isinstance(content, str):
        found.add(content)
    elif isinstance(content, list):
        for block in content:
            _add_block(found, block)
    elif content is not None:
        _add_block(found, content)


def _add_block(found: Pieces, block: Block) -> None:
    if block.type == "text":
        found.add(block.text)
    elif block.type not in THOUGHTS:
        for piece in (block.title, block.context, block.name, block.text):
            found.add(piece)
        found.add_json(block.input)
        _add_source(found, block.source)
        _add(found, block.content)
        found.add(block.stdout)
        found.add(block.stderr)


def _add_source(found: Pieces, source: str | Source | None) -> None:
    if isinstance(source, str):
        found.add(source)
    elif source is not None:
        if source.type == "text":
            found.add(plain_text(source.data))
        _add(found, source.content)
