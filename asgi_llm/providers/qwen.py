"""Qwen (Alibaba Cloud Model Studio): ``enable_thinking``, and no forced calls meanwhile ("Deep thinking")."""

from dataclasses import replace

from asgi_llm.dialects.profile import Order

from .endpoints import BATCHES, FILES, paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, rooted

__all__ = ["QWEN"]

_RESPONSES = "/api/v2/apps/protocols/compatible-mode/v1"

QWEN = Provider(
    name="qwen",
    title="Qwen (Alibaba Cloud)",
    base_url="https://dashscope-intl.aliyuncs.com",
    dialects=("chat", "responses", "messages"),
    paths={
        "chat": b"/compatible-mode/v1/chat/completions",
        "responses": _RESPONSES.encode() + b"/responses",
        "messages": b"/apps/anthropic/v1/messages",
    },
    models_path=b"/compatible-mode/v1/models",
    endpoints=paths_of("embeddings", *FILES, *BATCHES, root=b"/compatible-mode/v1"),
    credentials=bearer,
    key_variable="DASHSCOPE_API_KEY",
    models=("qwen*", "qwq-*", "qvq-*"),
    rebase=rooted(_RESPONSES, "/compatible-mode/v1", "/apps/anthropic/v1", "/apps/anthropic"),
    profile=replace(
        COMPATIBLE,
        provider="qwen",
        lacks=frozenset({"frequency_penalty", "logit_bias"}),
        temperature_range=(0, 1.99),
        documents=None,
        reasoning_field="reasoning_content",
        reasoning_effort=False,
        thinking_switch="enable_thinking",
        forced_tools_think=False,
        extras=frozenset({"top_k"}),
        order=Order(prefill="partial"),
    ),
)
