"""Which features a request makes use of, for rules about them."""

from collections.abc import Iterable, Iterator

from asgi_llm.neutral.request import (
    Audio,
    Blocks,
    Document,
    HostedTool,
    Image,
    Part,
    Request,
    ServerCall,
    ServerResult,
    ToolResult,
    Video,
)

__all__ = ["features_of"]

_KINDS = {Image: "images", Document: "documents", Audio: "audio", Video: "video"}


def features_of(request: Request) -> frozenset[str]:
    """By the words of ``settings.access.Feature``."""
    found = set(_parts(part for said in request.instructions for part in said.parts))
    found.update(_parts(part for turn in request.turns for part in turn.parts))
    if request.tools:
        found.add("tools")
    if any(isinstance(tool, HostedTool) for tool in request.tools):
        found.add("hosted_tools")
    if request.reasoning is not None:
        found.add("reasoning")
    if request.output is not None:
        found.add("structured_output")
    state = request.state
    if state.previous_response_id is not None or state.conversation is not None:
        found.add("state")
    if request.stream.on:
        found.add("stream")
    return frozenset(found)


def _parts(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        kind = _KINDS.get(type(part))
        if kind is not None:
            yield kind
        if isinstance(part, ServerCall | ServerResult):
            yield "hosted_tools"
        if isinstance(part, ToolResult):
            yield from _parts(part.parts)
        elif isinstance(part, Document) and isinstance(part.source, Blocks):
            yield from _parts(part.source.parts)
