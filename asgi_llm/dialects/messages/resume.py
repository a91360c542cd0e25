"""Going on with an answer that paused (``pause_turn``): what was said is sent back unchanged, as one more message.

Spec: Anthropic Messages API, "Handling stop reasons", "Server tools".
"""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Report
from asgi_llm.dialects.spans import AmbiguousError, members
from asgi_llm.neutral.request import Part, ToolCall
from asgi_llm.neutral.response import Finish

from .losses import LOSSES
from .parts import Block, assistant_block

__all__ = ["resume"]


def resume(body: bytes, parts: tuple[Part, ...], finish: Finish) -> bytes | None:
    """``body`` (as it was written here) with what was said; None where it said nothing, or calls the caller's tools."""
    report = Report(LOSSES)
    content: list[Block] = []
    for part in parts:
        if isinstance(part, ToolCall):
            return None
        if (block := assistant_block(part, report)) is not None:
            content.append(block)
    if not content:
        return None
    try:
        end = members(body)["messages"].end - 1
    except (AmbiguousError, KeyError):
        return None
    said: dict[str, Any] = {"role": "assistant", "content": content}
    longer = b"%b,%b%b" % (body[:end], msgspec.json.encode(said), body[end:])
    return longer if finish.token is None else _within(longer, finish.token)


def _within(body: bytes, container: str) -> bytes:
    """With the container in which the provider's tools have been running."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**fields, "container": container})
