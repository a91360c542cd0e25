"""Ollama, on this machine or at https://ollama.com ("OpenAI compatibility", "Anthropic compatibility")."""

from dataclasses import replace

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE, COMPATIBLE_PATHS
from .provider import Provider, bearer, versioned

__all__ = ["OLLAMA"]

OLLAMA = Provider(
    name="ollama",
    title="Ollama",
    base_url="http://127.0.0.1:11434/v1",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    endpoints=paths_of("completions", "embeddings"),
    credentials=bearer,
    key_variable="OLLAMA_API_KEY",
    rebase=versioned,
    health_path=b"/../api/version",
    strict_models=True,
    profile=replace(
        COMPATIBLE,
        provider="ollama",
        lacks=frozenset({"logit_bias", "n"}),
        max_stop=None,
        image_urls=False,
        documents=None,
        reasoning_field="reasoning",
        efforts=("none", "low", "medium", "high"),
        parallel_tool_calls=False,
        tool_choices=frozenset(),
    ),
)
