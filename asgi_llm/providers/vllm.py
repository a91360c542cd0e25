"""vLLM's server: all three dialects on one port; thoughts under ``reasoning``."""

from dataclasses import replace

from .openai_compatible import COMPATIBLE_PATHS, OPENAI_COMPATIBLE
from .provider import Provider, bearer, versioned

__all__ = ["VLLM"]

VLLM = Provider(
    name="vllm",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    count_paths={"messages": b"/messages/count_tokens"},  # newer versions have it
    credentials=bearer,
    rebase=versioned,
    profile=replace(OPENAI_COMPATIBLE.profile, provider="vllm", engine_sampling=True, reasoning_field="reasoning"),
)
