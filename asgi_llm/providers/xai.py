"""xAI: models that reason take neither penalties nor stop sequences, and each its own efforts ("Reasoning").

Its Messages endpoint is deprecated. What is said first is what the newest models take.
"""

from dataclasses import replace

from asgi_llm.dialects.profile import family

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, versioned

__all__ = ["XAI"]

_LACKS = frozenset({"presence_penalty", "frequency_penalty", "logit_bias"})

XAI = Provider(
    name="xai",
    title="xAI",
    base_url="https://api.x.ai/v1",
    dialects=("chat", "responses"),
    paths={"chat": b"/chat/completions", "responses": b"/responses"},
    endpoints=paths_of("completions", "images_generations"),
    credentials=bearer,
    listing="x-ai",
    key_variable="XAI_API_KEY",
    models=("grok-*",),
    rebase=versioned,
    profile=replace(
        COMPATIBLE,
        provider="xai",
        max_tokens_field="max_completion_tokens",
        lacks=_LACKS | {"stop"},
        documents=None,
        efforts=("low", "medium", "high", "xhigh"),
        reasoning_summary=False,
        extras=frozenset({"safety_identifier", "store", "encrypted_reasoning"}),
        end_user_field="user",
        families=(
            family(r"non-reasoning|grok-(2|3(?!-mini)|code)", reasoning_effort=False, lacks=_LACKS),
            family("grok-3-mini", efforts=("low", "high")),
            family("multi-agent"),
            family(r"grok-4(?!\.[3-9])", reasoning_effort=False),
            family(r"grok-4\.3", efforts=("none", "low", "medium", "high")),
            family(r"grok-4\.5", efforts=("low", "medium", "high")),
        ),
    ),
)
