"""The parts and contents of the Gemini API as typed structs.

One struct for all parts: a part says what it is by the members it has. Keys are in camelCase; ``spelling`` sees to
that. Spec: Gemini API, "Content", "Part".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL

__all__ = ["RAW_LIST", "Blob", "FileData", "FunctionCall", "FunctionResponse", "PartialArg", "Resolution", "WirePart"]


class Blob(Struct, rename="camel"):
    data: str = ""
    mime_type: str | None = None
    display_name: str | None = None


class FileData(Struct, rename="camel"):
    file_uri: str = ""
    mime_type: str | None = None
    display_name: str | None = None


class PartialArg(Struct, rename="camel"):
    json_path: str = ""
    string_value: str | None = None
    number_value: Raw = NULL
    bool_value: bool | None = None
    null_value: Any = None


class FunctionCall(Struct, rename="camel"):
    """``partial_args`` and ``will_continue`` come in streams only, where the arguments were asked for in pieces."""

    name: str = ""
    args: Raw = NULL
    id: str | None = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class MediaPart(Struct, rename="camel"):
    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Struct, rename="camel"):
    name: str = ""
    response: Raw = NULL
    id: str | None = None
    parts: list[MediaPart] | None = None


class Resolution(Struct):
    level: str | None = None


class WirePart(Struct, rename="camel"):
    """``other`` kinds (code the provider ran, its own tools, later inventions) are read from the raw part."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    media_resolution: Any = None
    video_metadata: Any = None


RAW_LIST: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
