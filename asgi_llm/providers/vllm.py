"""vLLM's server: all three dialects on one port; thoughts under ``reasoning``."""

from dataclasses import replace

from asgi_llm.dialects.profile import Order

from .endpoints import AUDIO, ROOT_TOKENS, paths_of
from .openai_compatible import COMPATIBLE, COMPATIBLE_PATHS
from .provider import Provider, bearer, versioned

__all__ = ["VLLM"]

VLLM = Provider(
    name="vllm",
    title="vLLM",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    count_paths={"messages": b"/messages/count_tokens"},  # newer versions have it
    endpoints=paths_of("completions", "embeddings", "rerank", "score", *AUDIO[1:])
    | ROOT_TOKENS
    | {"classify": b"/../classify"},
    credentials=bearer,
    rebase=versioned,
    health_path=b"/../health",
    strict_models=True,
    rank_header=b"x-data-parallel-rank",
    pairing="transfer",
    load_paths=(b"/../metrics",),
    load_format="vllm",
    profile=replace(
        COMPATIBLE,
        provider="vllm",
        engine_sampling=True,
        max_stop=None,
        reasoning_field="reasoning",
        efforts=("none", "low", "medium", "high"),
        order=Order(system_turns=False),  # the templates of Qwen and others refuse later ones
    ),
)
