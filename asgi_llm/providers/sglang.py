"""SGLang's server: thoughts under ``reasoning_content``."""

from dataclasses import replace

from .openai_compatible import COMPATIBLE_PATHS, OPENAI_COMPATIBLE
from .provider import Provider, bearer, versioned

__all__ = ["SGLANG"]

SGLANG = Provider(
    name="sglang",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    count_paths={"messages": b"/messages/count_tokens"},  # newer versions have it
    credentials=bearer,
    rebase=versioned,
    profile=replace(
        OPENAI_COMPATIBLE.profile, provider="sglang", engine_sampling=True, reasoning_field="reasoning_content"
    ),
)
