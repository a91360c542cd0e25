"""The content blocks of the Messages API as typed structs, and how a wrong field is complained about.

Blocks that are known decode in one pass as a tagged union; ``blocks`` makes neutral parts of them.
Spec: Anthropic Messages API, content blocks.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import CacheMark

__all__ = [
    "Base64Source",
    "CacheControl",
    "ContentSource",
    "DocumentBlock",
    "FileSource",
    "ImageBlock",
    "Known",
    "RedactedBlock",
    "SearchResultBlock",
    "TextBlock",
    "TextSource",
    "ThinkingBlock",
    "ToolResultBlock",
    "ToolUseBlock",
    "UrlSource",
    "cache_mark",
    "fault",
    "typed",
]


class CacheControl(Struct):
    type: str = "ephemeral"
    ttl: str | None = None


class _Block(Struct, tag_field="type"):
    pass


class Base64Source(_Block, tag="base64"):
    media_type: str
    data: str


class UrlSource(_Block, tag="url"):
    url: str


class FileSource(_Block, tag="file"):
    file_id: str


class TextSource(_Block, tag="text"):
    data: str
    media_type: str = "text/plain"


class ContentSource(_Block, tag="content"):
    content: "str | list[TextBlock | ImageBlock]"


class _Cite(Struct):
    enabled: bool = False


class TextBlock(_Block, tag="text"):
    text: str
    citations: list[Raw] | None = None
    cache_control: CacheControl | None = None


class ImageBlock(_Block, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class DocumentBlock(_Block, tag="document"):
    source: Base64Source | UrlSource | FileSource | TextSource | ContentSource
    title: str | None = None
    context: str | None = None
    citations: _Cite | None = None
    cache_control: CacheControl | None = None


class SearchResultBlock(_Block, tag="search_result"):
    source: str
    title: str
    content: list[TextBlock]
    citations: _Cite | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(_Block, tag="thinking"):
    thinking: str
    signature: str | None = None


class RedactedBlock(_Block, tag="redacted_thinking"):
    data: str


class ToolUseBlock(_Block, tag="tool_use"):
    name: str
    id: str = ""
    input: Raw = Raw(b"{}")
    cache_control: CacheControl | None = None


class ToolResultBlock(_Block, tag="tool_result"):
    tool_use_id: str
    content: "str | list[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock] | None" = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Known = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedBlock
    | ToolUseBlock
    | ToolResultBlock
)

_WHERE = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_MISSING = re.compile(r"Object missing required field `([^`]+)`")


def fault(path: str, error: msgspec.ValidationError) -> ClientError:
    """The complaint about a field, its path spelled as Anthropic spells it (``messages.2.content.0.type``)."""
    text = str(error)
    if found := _WHERE.search(text):
        text = text[: found.start()]
        path += found.group(1).replace("[", ".").replace("]", "")
    if missing := _MISSING.match(text):
        path, text = f"{path}.{missing.group(1)}", "Field required"
    path, text = path.removeprefix("."), text[:500].replace("`", "")
    if not path:
        return ClientError(f"The request body: {text}", code="invalid_json")
    return ClientError(f"{path}: {text}", param=path)


def typed(raw: Raw, decoder: "msgspec.json.Decoder[Any]", path: str) -> Any:
    """The value as its decoder's type.

    Raises:
        ClientError: it is not; the error names the field.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise fault(path, error) from None


def cache_mark(control: CacheControl | None) -> CacheMark | None:
    return None if control is None else CacheMark(control.ttl)
