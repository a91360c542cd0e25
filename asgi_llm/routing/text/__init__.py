"""The text of a request that decides which worker's cache can serve it: one small extractor an endpoint.

In it: instructions, what was said, documents, calls of tools and their results, in the order of the prompt. Not in it:
thinking (engines drop it from later prompts), items that only steer (approvals, references), blobs, and the schemas of
tools. Every turn adds its own pieces and changes no earlier one, so the text of a conversation that has grown begins
with the text it had before.

One typed decode reads a body and skips what is not named. What has another shape than the endpoint's specification
says is left out, never complained about: that is for others to do.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from .chat import chat
from .gemini import gemini
from .messages import messages
from .pieces import NO_TEXT, RoutingText
from .plain import completions, embeddings, generate, rerank
from .responses import responses

__all__ = ["EXTRACTORS", "NO_TEXT", "Endpoint", "RoutingText", "routing_text"]

Endpoint = Literal["chat", "messages", "responses", "gemini", "completions", "embeddings", "rerank", "generate"]

EXTRACTORS: Mapping[Endpoint, Callable[[bytes], RoutingText]] = MappingProxyType(
    {
        "chat": chat,
        "messages": messages,
        "responses": responses,
        "gemini": gemini,
        "completions": completions,
        "embeddings": embeddings,
        "rerank": rerank,
        "generate": generate,
    }
)


def routing_text(endpoint: Endpoint, body: bytes) -> RoutingText:
    """The text of ``body``, whatever it holds; empty when there is none."""
    return EXTRACTORS[endpoint](body)
