"""SGLang's server: thoughts under ``reasoning_content``."""

from dataclasses import replace

from .endpoints import ROOT_SGLANG, ROOT_TOKENS, paths_of
from .openai_compatible import COMPATIBLE_PATHS
from .provider import Provider, bearer, versioned
from .vllm import VLLM

__all__ = ["SGLANG"]

SGLANG = Provider(
    name="sglang",
    title="SGLang",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    count_paths={"messages": b"/messages/count_tokens"},  # newer versions have it
    endpoints=paths_of(
        "completions", "embeddings", "rerank", "score", "classify", "images_generations", "audio_transcriptions"
    )
    | ROOT_TOKENS
    | ROOT_SGLANG,
    credentials=bearer,
    rebase=versioned,
    health_path=b"/../health",
    rank_field="data_parallel_rank",
    pairing="bootstrap",
    load_paths=(b"/../v1/loads?include=core,queues,memory", b"/../get_load"),
    load_format="sglang",
    profile=replace(VLLM.profile, provider="sglang", reasoning_field="reasoning_content"),
)
