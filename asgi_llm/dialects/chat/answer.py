"""What a chat answer looks like on the wire, whole or in chunks, as origin and compatible servers write it.

Structs for reading only, as wide as those servers differ: ids may be numbers, lists may be null, content may be a
list of parts. A chunk's ``delta`` and a whole ``message`` have the same members.
"""

from typing import Any

import msgspec
from msgspec import Raw

from .wire import Wire, given

__all__ = ["Choice", "Chunk", "Said", "ToolPiece", "content_text", "content_thoughts", "number", "stamp"]


class FunctionPiece(Wire):
    name: str | None = None
    arguments: str | dict[str, Any] | list[Any] | None = None


class CustomPiece(Wire):
    name: str | None = None
    input: str | None = None


class ToolPiece(Wire):
    """A tool call or a piece of one."""

    index: int | str | None = None
    id: str | int | None = None
    type: str | None = None
    function: FunctionPiece | None = None
    custom: CustomPiece | None = None
    extra_content: Raw = Raw()

    @property
    def name(self) -> str:
        piece = self.function or self.custom
        return (piece.name or "") if piece is not None else ""

    @property
    def arguments(self) -> str:
        if self.function is not None:
            arguments = self.function.arguments
            if isinstance(arguments, str):
                return arguments
            return "" if arguments is None else msgspec.json.encode(arguments).decode()
        return (self.custom.input or "") if self.custom is not None else ""


class AudioPiece(Wire):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None


class Said(Wire):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | dict[str, Any] | list[Any] | None = None
    reasoning: str | dict[str, Any] | list[Any] | None = None
    reasoning_details: Raw = Raw()
    tool_calls: list[ToolPiece] | None = None
    function_call: FunctionPiece | None = None
    annotations: Raw = Raw()
    audio: AudioPiece | None = None
    images: Raw = Raw()
    provider_metadata: Raw = Raw()

    @property
    def thought(self) -> str:
        """What can be read of the thoughts, outside ``reasoning_details``."""
        if (said := self.reasoning_content) and isinstance(said, str):
            return said
        if (said := self.reasoning) and isinstance(said, str):
            return said
        return content_thoughts(self.content) if isinstance(self.content, list) else ""


class Choice(Wire):
    index: int | None = None
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    logprobs: Raw = Raw()
    usage: Raw = Raw()


class GroqExtra(Wire):
    usage: Raw = Raw()


class BaseResponse(Wire):
    """MiniMax tells here whether it failed, inside an answer with status 200."""

    status_code: int | None = None


class Chunk(Wire):
    id: str | int | None = None
    object: str | None = None
    model: str | None = None
    created: int | float | str | None = None
    choices: list[Choice] | None = None
    usage: Raw = Raw()
    error: Raw = Raw()
    service_tier: str | None = None
    x_groq: GroqExtra | None = None
    base_resp: BaseResponse | None = None
    provider_metadata: Raw = Raw()

    @property
    def reported(self) -> Raw | None:
        """The usage object, wherever servers put it."""
        if self.usage and (usage := given(self.usage)) is not None:
            return usage
        if self.x_groq is not None and (usage := given(self.x_groq.usage)) is not None:
            return usage
        for choice in self.choices or ():
            if choice.usage and (usage := given(choice.usage)) is not None:
                return usage
        return None

    @property
    def failed(self) -> bool:
        """Whether this reports an error. ``"error": null`` and ``"error": ""`` report none."""
        if self.error and bytes(self.error) not in (b"null", b'""', b"false", b"{}"):
            return True
        return self.object == "error" or (self.base_resp is not None and bool(self.base_resp.status_code))


def number(value: object) -> int | None:
    """A whole number of what claims to be one."""
    if type(value) is int and 0 <= value < 2**53:
        return value
    if isinstance(value, int | float) and value == value and abs(value) < 2**53:
        return int(value)
    return None


def stamp(chunk: Chunk) -> tuple[str, str, int | None]:
    """Id, model and time of creation."""
    return ("" if chunk.id is None else str(chunk.id), chunk.model or "", number(chunk.created))


def content_text(content: str | list[Any] | None) -> str:
    """The text of a content, which some servers write as a list of parts (Mistral, Databricks)."""
    if isinstance(content, str):
        return content
    return "".join(_text(part) for part in content or () if _kind(part) not in ("thinking", "reasoning"))


def content_thoughts(content: str | list[Any] | None) -> str:
    """The thoughts inside such a list."""
    if content is None or isinstance(content, str):
        return ""
    pieces = []
    for part in content:
        if _kind(part) in ("thinking", "reasoning"):
            inner = part.get("thinking") or part.get("summary") or part.get("text")
            pieces.append(inner if isinstance(inner, str) else "".join(_text(p) for p in _list(inner)))
    return "".join(pieces)


def _kind(part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) else ""


def _text(part: object) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
