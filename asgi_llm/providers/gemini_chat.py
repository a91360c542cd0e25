"""Gemini through Google's Chat Completions endpoint ("OpenAI compatibility"); ``gemini`` is its own dialect."""

from dataclasses import replace

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer

__all__ = ["GEMINI_CHAT"]

GEMINI_CHAT = Provider(
    name="gemini_chat",
    title="Gemini, as Chat Completions",
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
    dialects=("chat",),
    paths={"chat": b"/chat/completions"},
    endpoints=paths_of("embeddings", "images_generations"),
    credentials=bearer,
    listing="google",
    key_variable="GEMINI_API_KEY",
    models=("gemini-*",),
    profile=replace(
        COMPATIBLE,
        provider="gemini_chat",
        strict_fields=True,
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "seed"}),
        documents=None,
        call_signatures=True,
        signature_filler="skip_thought_signature_validator",
        efforts=("none", "minimal", "low", "medium", "high"),
        parallel_tool_calls=False,
    ),
)
