"""What a Chat Completions request looks like on the wire (OpenAI API reference, "Create chat completion").

Structs only, for reading. Every optional field takes null, since clients send nulls for what they do not use. JSON
that is not ours to understand stays ``Raw``; use ``given`` to tell whether such a field was there.
"""

from typing import Annotated, Any, final

from msgspec import Meta, Raw, Struct

__all__ = [
    "AssistantMessage",
    "AudioPart",
    "Body",
    "CustomToolDef",
    "FilePart",
    "FunctionMessage",
    "FunctionToolDef",
    "ImagePart",
    "InstructionMessage",
    "LooseBody",
    "Message",
    "RefusalPart",
    "TextPart",
    "ToolDef",
    "ToolMessage",
    "UserMessage",
    "UserPart",
    "Wire",
    "given",
]


_NULL = Raw(b"null")


def given(raw: Raw) -> Raw | None:
    """The value of a raw field, or None where it was absent or null."""
    return raw if raw and raw != _NULL else None


class Wire(Struct, gc=False):
    """What is read from JSON holds no cycles, so that the collector need not know of it."""


class CacheControl(Wire):
    """The mark that several gateways take on parts, and OpenAI's own breakpoint, which has the same ``ttl``."""

    ttl: str | None = None


@final
class TextPart(Wire, tag_field="type", tag="text"):
    text: str
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheControl | None = None


class RefusalPart(Wire, tag_field="type", tag="refusal"):
    refusal: str


class ImageUrl(Wire):
    url: str
    detail: str | None = None


class ImagePart(Wire, tag_field="type", tag="image_url"):
    image_url: ImageUrl | str
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheControl | None = None


class InputAudio(Wire):
    data: str
    format: str


class AudioPart(Wire, tag_field="type", tag="input_audio"):
    input_audio: InputAudio
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheControl | None = None


class InputFile(Wire):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Wire, tag_field="type", tag="file"):
    file: InputFile
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: CacheControl | None = None


class ThinkingPart(Wire, tag_field="type", tag="thinking"):
    """Mistral's thoughts inside an assistant's content list."""

    thinking: list[TextPart] | str


UserPart = TextPart | ImagePart | AudioPart | FilePart


class FunctionCall(Wire):
    name: str
    arguments: str | dict[str, Any] | None = None


class CustomCall(Wire):
    name: str
    input: str | None = None


class ToolCallDef(Wire):
    """``type`` is missing in what some clients send; then the member that is there decides."""

    id: str
    type: str | None = None
    function: FunctionCall | None = None
    custom: CustomCall | None = None
    extra_content: Raw = Raw()
    cache_control: CacheControl | None = None


class AudioRef(Wire):
    id: str


class InstructionMessage(Wire, tag_field="role", tag="system"):
    content: str | list[TextPart]
    name: str | None = None
    cache_control: CacheControl | None = None


class DeveloperMessage(InstructionMessage, tag_field="role", tag="developer"):
    pass


class UserMessage(Wire, tag_field="role", tag="user"):
    content: str | list[UserPart]
    name: str | None = None
    cache_control: CacheControl | None = None


class AssistantMessage(Wire, tag_field="role", tag="assistant"):
    content: str | list[TextPart | RefusalPart | ThinkingPart] | None = None
    refusal: str | None = None
    name: str | None = None
    tool_calls: list[ToolCallDef] | None = None
    function_call: FunctionCall | None = None
    audio: AudioRef | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Raw = Raw()
    cache_control: CacheControl | None = None


class ToolMessage(Wire, tag_field="role", tag="tool"):
    tool_call_id: str
    content: str | list[UserPart] | None = None
    """The origin takes text alone; other servers take pictures, too, and clients of theirs send them."""
    name: str | None = None
    cache_control: CacheControl | None = None


class FunctionMessage(Wire, tag_field="role", tag="function"):
    name: str
    content: str | None = None


Message = InstructionMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


class FunctionDef(Wire):
    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None
    cache_control: CacheControl | None = None


@final
class FunctionToolDef(Wire, tag_field="type", tag="function"):
    function: FunctionDef
    cache_control: CacheControl | None = None


class Grammar(Wire):
    definition: str | None = None
    syntax: str | None = None


class CustomFormat(Wire):
    type: str | None = None
    grammar: Grammar | None = None


class CustomDef(Wire):
    name: str
    description: str | None = None
    format: CustomFormat | None = None


class CustomToolDef(Wire, tag_field="type", tag="custom"):
    custom: CustomDef


ToolDef = FunctionToolDef | CustomToolDef


class Named(Wire):
    name: str


class AllowedTool(Wire):
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(Wire):
    mode: str
    tools: list[AllowedTool]


class ChoiceDef(Wire):
    type: str
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Wire):
    name: str | None = None
    description: str | None = None
    schema: Raw = Raw()
    strict: bool | None = None


class ResponseFormat(Wire):
    type: str
    json_schema: JsonSchema | None = None


class StreamOptionsDef(Wire):
    include_usage: bool | None = None


class CacheOptions(Wire):
    mode: str | None = None
    ttl: str | None = None


Knob = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | None
"""A number that is sent on as it was written; larger ones are no floats, which is what others read."""


class Body(Wire, forbid_unknown_fields=True):
    """Refuses unknown fields so that the usual request is read in one pass; see ``LooseBody``."""

    model: str
    messages: list[Message]
    tools: list[ToolDef] | None = None
    tool_choice: str | ChoiceDef | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDef] | None = None
    function_call: str | Named | None = None
    temperature: Knob = None
    top_p: Knob = None
    top_k: int | None = None
    min_p: Knob = None
    seed: int | None = None
    presence_penalty: Knob = None
    frequency_penalty: Knob = None
    logit_bias: Raw = Raw()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptionsDef | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: CacheOptions | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    web_search_options: Raw = Raw()
    cache_control: CacheControl | None = None


class LooseBody(Body, forbid_unknown_fields=False):
    """The same, for a request with fields that this version does not know."""
