"""Kimi (Moonshot AI): sampling is fixed for models that think, and messages must not be empty ("Chat", "Models").

What is said first is what the newest models take; the families are those before them.
"""

from dataclasses import replace

from asgi_llm.dialects.profile import Order, family

from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, rooted

__all__ = ["KIMI"]

_FIXED = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "n", "seed"}
)
_UNFORCED = frozenset({"none"})

KIMI = Provider(
    name="kimi",
    title="Kimi (Moonshot AI)",
    base_url="https://api.moonshot.ai",
    dialects=("chat", "messages"),
    paths={"chat": b"/v1/chat/completions", "messages": b"/anthropic/v1/messages"},
    models_path=b"/v1/models",
    credentials=bearer,
    listing="moonshotai",
    key_variable="MOONSHOT_API_KEY",
    models=("kimi-*", "moonshot-*"),
    rebase=rooted("/anthropic/v1", "/anthropic", "/v1"),
    profile=replace(
        COMPATIBLE,
        provider="kimi",
        max_tokens_field="max_completion_tokens",
        lacks=_FIXED,
        max_stop=5,
        image_urls=False,
        documents=None,
        reasoning_field="reasoning_content",
        reasoning_always=True,
        efforts=("low", "high", "max"),
        parallel_tool_calls=False,
        extras=frozenset({"safety_identifier", "prompt_cache_key"}),
        order=Order(empty_messages=False, prefill="partial"),
        families=(
            family(r"kimi-k2\.[56]", reasoning_effort=False, thinking_switch="thinking", forced_tools_think=False),
            family(r"kimi-k2\.[7-9]|kimi-for-coding", reasoning_effort=False, tool_choices=_UNFORCED),
            family(
                r"kimi-(k2|latest)|moonshot-v1",
                lacks=frozenset({"logit_bias", "logprobs", "seed"}),
                temperature_range=(0, 1),
                reasoning_effort=False,
                tool_choices=_UNFORCED,
                json_schema=False,
            ),
        ),
    ),
)
