"""llama.cpp's server: one model and its template, with grammars for what must be called or answered."""

from dataclasses import replace

from asgi_llm.dialects.profile import Order

from .endpoints import ROOT_TOKENS, paths_of
from .openai_compatible import COMPATIBLE, COMPATIBLE_PATHS
from .provider import Provider, bearer, versioned

__all__ = ["LLAMA_CPP"]

LLAMA_CPP = Provider(
    name="llama_cpp",
    title="llama.cpp",
    dialects=("chat", "responses", "messages"),
    paths=COMPATIBLE_PATHS,
    count_paths={"messages": b"/messages/count_tokens"},
    endpoints=paths_of("completions", "embeddings", "rerank") | ROOT_TOKENS,
    credentials=bearer,
    rebase=versioned,
    health_path=b"/../health",
    profile=replace(
        COMPATIBLE,
        provider="llama_cpp",
        engine_sampling=True,
        max_stop=None,
        lacks=frozenset({"n"}),
        documents=None,
        reasoning_field="reasoning_content",
        reasoning_effort=False,
        tool_choices=frozenset({"none", "required"}),  # one named tool is taken for "auto" without a word
        order=Order(system_turns=False, alternating=True),  # templates such as Gemma's refuse anything else
    ),
)
