"""Groq: open models, each with what it takes; thoughts under ``reasoning`` ("OpenAI compatibility", "Reasoning")."""

from dataclasses import replace

from asgi_llm.dialects.profile import family

from .endpoints import AUDIO, BATCHES, FILES, paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, versioned

__all__ = ["GROQ"]

GROQ = Provider(
    name="groq",
    title="Groq",
    base_url="https://api.groq.com/openai/v1",
    dialects=("chat", "responses"),
    paths={"chat": b"/chat/completions", "responses": b"/responses"},
    endpoints=paths_of(*AUDIO, *FILES, *BATCHES),
    credentials=bearer,
    listing="groq",
    key_variable="GROQ_API_KEY",
    models=("llama-*", "groq/*"),
    rebase=versioned,
    profile=replace(
        COMPATIBLE,
        provider="groq",
        max_tokens_field="max_completion_tokens",
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n"}),
        documents=None,
        reasoning_effort=False,
        json_schema=False,
        extras=frozenset({"safety_identifier"}),
        end_user_field="user",
        families=(
            family(
                "gpt-oss",
                reasoning_field="reasoning",
                reasoning_effort=True,
                efforts=("low", "medium", "high"),
                json_schema=True,
            ),
            family(
                "qwen3",
                reasoning_field="reasoning",
                reasoning_effort=True,
                efforts=("none", "default"),
                adds=(("reasoning_format", "parsed"),),  # else they stand in the text
            ),
            family("llama-4|kimi-k2", json_schema=True),
        ),
    ),
)
