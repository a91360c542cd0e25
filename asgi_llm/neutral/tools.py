"""Tools that a model is offered, and which of them it may call.

Schemas and definitions that are not ours to understand stay raw bytes. Other rooms import these names from ``request``.
"""

from typing import Literal

from msgspec import Raw, Struct

from .parts import CacheMark, DialectName

__all__ = ["CustomTool", "FunctionTool", "HostedTool", "Tool", "ToolChoice", "TypedTool"]


class FunctionTool(Struct, frozen=True, tag="function", omit_defaults=True):
    """A tool with JSON arguments, run by the caller. ``schema`` is the JSON schema's bytes as they came.
    ``namespace_description`` is what the caller says of the whole namespace, on each of its members."""

    name: str
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None
    namespace: str | None = None
    defer_loading: bool | None = None
    examples: Raw | None = None
    cache: CacheMark | None = None
    namespace_description: str | None = None


class CustomTool(Struct, frozen=True, tag="custom", omit_defaults=True):
    """A tool whose argument is free text, perhaps bound by a grammar (``syntax`` is lark or regex)."""

    name: str
    description: str | None = None
    syntax: str | None = None
    grammar: str | None = None
    namespace: str | None = None
    cache: CacheMark | None = None
    namespace_description: str | None = None


class HostedTool(Struct, frozen=True, tag="hosted", omit_defaults=True):
    """A tool the provider runs. ``kind`` is neutral (web_search, web_fetch, code, file_search, mcp, image, ...)
    where known, else the type as written; ``raw`` is the whole definition as its dialect wrote it."""

    dialect: DialectName
    kind: str
    name: str | None = None
    raw: Raw | None = None
    cache: CacheMark | None = None


class TypedTool(Struct, frozen=True, tag="typed", omit_defaults=True):
    """A tool the provider defines and the caller runs (bash, text editor, computer, apply_patch, shell)."""

    dialect: DialectName
    kind: str
    name: str
    raw: Raw | None = None
    cache: CacheMark | None = None


Tool = FunctionTool | CustomTool | HostedTool | TypedTool


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    """Whether and which tools may be called. ``name`` goes with ``tool``, ``names`` with ``allowed``
    (then ``required`` says whether one of them must be called), ``hosted`` names a hosted tool's kind."""

    mode: Literal["auto", "none", "required", "tool", "allowed", "hosted"]
    name: str | None = None
    names: tuple[str, ...] = ()
    required: bool = False
    hosted: str | None = None
