"""Parts of content as Chat Completions and Responses write them, and calls of functions."""

from msgspec import Raw, Struct

from .pieces import Pieces

__all__ = ["THOUGHTS", "Content", "Function", "add_content", "add_function"]

THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text"})
"""Types of parts and blocks that hold thinking."""


class File(Struct, gc=False):
    filename: str | None = None


class Part(Struct):
    """A part of a message, of a tool's result, or of what a tool printed; its blobs and links are not read."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    file: File | None = None
    filename: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    logs: str | None = None


Content = str | list[Part] | Part | None


class Function(Struct, gc=False):
    name: str | None = None
    arguments: Raw = Raw()
    input: Raw = Raw()


def add_content(found: Pieces, content: Content) -> None:
    if isinstance(content, str):
        found.add(content)
    elif isinstance(content, list):
        for part in content:
            _add_part(found, part)
    elif content is not None:
        _add_part(found, content)


def _add_part(found: Pieces, part: Part) -> None:
    if part.type in THOUGHTS:
        return
    found.add(part.filename or (part.file.filename if part.file else None))
    for piece in (part.text, part.refusal, part.stdout, part.stderr, part.logs):
        found.add(piece)


def add_function(found: Pieces, function: Function | None) -> None:
    if function is not None:
        found.add(function.name)
        found.add_json(function.arguments)
        found.add_json(function.input)
