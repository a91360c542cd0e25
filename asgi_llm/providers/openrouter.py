"""OpenRouter: many providers behind one API, which converts what they need ("API reference", "Reasoning tokens")."""

from dataclasses import replace

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE, COMPATIBLE_PATHS
from .provider import Provider, bearer, versioned

__all__ = ["OPENROUTER"]

OPENROUTER = Provider(
    name="openrouter",
    title="OpenRouter",
    base_url="https://openrouter.ai/api/v1",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    endpoints=paths_of("completions", "embeddings"),
    credentials=bearer,
    listing="openrouter",
    key_variable="OPENROUTER_API_KEY",
    models=("*/*",),
    rebase=versioned,
    profile=replace(
        COMPATIBLE,
        provider="openrouter",
        developer_role=True,
        strict_tools=True,
        engine_sampling=True,
        cache_marks=True,
        documents="file_url",
        reasoning_details="signed",
        thinking_switch="reasoning",
        extras=frozenset({"safety_identifier", "verbosity"}),
        end_user_field="user",
    ),
)
