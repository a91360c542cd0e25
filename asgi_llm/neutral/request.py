"""What is asked: instructions, turns of ordered parts, tools, and the knobs.

Rules of the model:

* Absent, null and default are three things. ``None`` (or an empty tuple) means that the caller said nothing.
* ``strict`` and other flags whose absence means something else than ``false`` are three-valued.

What turns are made of is in ``parts``, what may be called in ``tools``; all of it is imported from here.
"""

from typing import Literal

from msgspec import Raw, Struct

from .parts import (
    Audio,
    Blocks,
    CacheMark,
    Carrier,
    Citation,
    Compaction,
    DialectName,
    Document,
    FileId,
    Image,
    Inline,
    Media,
    Opaque,
    Part,
    PlainText,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Url,
    Video,
)
from .tools import CustomTool, FunctionTool, HostedTool, Tool, ToolChoice, TypedTool

__all__ = [
    "Audio",
    "Blocks",
    "CacheHints",
    "CacheMark",
    "Carrier",
    "Citation",
    "Compaction",
    "CustomTool",
    "DialectName",
    "Document",
    "FileId",
    "FunctionTool",
    "HostedTool",
    "Image",
    "Inline",
    "Instruction",
    "Media",
    "Opaque",
    "OutputFormat",
    "Part",
    "PlainText",
    "Reasoning",
    "ReasoningConfig",
    "Refusal",
    "Request",
    "Role",
    "Sampling",
    "ServerCall",
    "ServerResult",
    "Source",
    "StateRef",
    "StreamOptions",
    "Text",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolResult",
    "Turn",
    "TypedTool",
    "Url",
    "Video",
]

Role = Literal["user", "assistant", "system", "developer"]


class Instruction(Struct, frozen=True, omit_defaults=True):
    """Leading text by whoever built the application. One per message or block that the caller sent."""

    parts: tuple[Text, ...]
    level: Literal["system", "developer"] = "system"


class Turn(Struct, frozen=True, omit_defaults=True):
    """One side speaks. Tool results are parts of a user turn; a system or developer turn is one in mid-conversation.

    ``phase`` (commentary, final_answer) and ``id`` come from Responses items and go back there unchanged.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    phase: str | None = None
    id: str | None = None


class Sampling(Struct, frozen=True, omit_defaults=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Raw | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ReasoningConfig(Struct, frozen=True, omit_defaults=True):
    """``effort``: none, minimal, low, medium, high, xhigh, max. ``budget`` is tokens (-1: the model decides).
    ``adaptive`` leaves the amount to the model. ``visible`` asks for readable thoughts; ``summary`` is the wish's
    own word (auto, concise, detailed)."""

    effort: str | None = None
    budget: int | None = None
    adaptive: bool | None = None
    visible: bool | None = None
    summary: str | None = None
    raw: Raw | None = None


class OutputFormat(Struct, frozen=True, omit_defaults=True):
    kind: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class CacheHints(Struct, frozen=True, omit_defaults=True):
    """Caching wishes for the request as a whole; marks on parts are on the parts."""

    auto: CacheMark | None = None
    key: str | None = None
    retention: str | None = None


class StateRef(Struct, frozen=True, omit_defaults=True):
    """State that the other side is asked to keep or to use."""

    previous_response_id: str | None = None
    conversation: str | None = None
    store: bool | None = None
    background: bool | None = None
    thread: Raw | None = None


class StreamOptions(Struct, frozen=True, omit_defaults=True):
    on: bool = False
    include_usage: bool | None = None


class Request(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One call of a model.

    ``max_output`` is tokens, reasoning included. ``end_user`` is the caller's id of its own user. ``ext`` keeps
    top-level fields that have no neutral meaning, per dialect, raw.
    """

    model: str
    dialect: DialectName
    instructions: tuple[Instruction, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    max_output: int | None = None
    max_tool_calls: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    reasoning: ReasoningConfig | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    cache: CacheHints = CacheHints()
    modalities: tuple[str, ...] = ()
    service_tier: str | None = None
    end_user: str | None = None
    metadata: dict[str, str] | None = None
    state: StateRef = StateRef()
    stream: StreamOptions = StreamOptions()
    version: str | None = None
    betas: tuple[str, ...] = ()
    ext: dict[str, Raw] = {}
