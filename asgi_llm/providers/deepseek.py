"""DeepSeek: thinks unless told not to, and wants its thoughts back beside its calls ("Thinking mode")."""

from dataclasses import replace

from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, rooted

__all__ = ["DEEPSEEK"]

DEEPSEEK = Provider(
    name="deepseek",
    title="DeepSeek",
    base_url="https://api.deepseek.com",
    dialects=("chat", "messages"),
    paths={"chat": b"/chat/completions", "messages": b"/anthropic/v1/messages"},
    credentials=bearer,
    listing="deepseek",
    key_variable="DEEPSEEK_API_KEY",
    models=("deepseek-*",),
    rebase=rooted("/anthropic/v1", "/anthropic", "/v1"),
    profile=replace(
        COMPATIBLE,
        provider="deepseek",
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n", "seed"}),
        max_stop=16,
        documents=None,
        reasoning_field="reasoning_content",
        reasoning_always=True,
        thinking_switch="thinking",
        efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
        parallel_tool_calls=False,
        forced_tools_think=False,
        json_schema=False,
    ),
)
