"""MiniMax: thoughts stand apart in Messages, and in Chat Completions when asked for so (``reasoning_split``)."""

from dataclasses import replace

from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, rooted

__all__ = ["MINIMAX"]

MINIMAX = Provider(
    name="minimax",
    title="MiniMax",
    base_url="https://api.minimax.io",
    dialects=("messages", "chat", "responses"),
    paths={
        "messages": b"/anthropic/v1/messages",
        "chat": b"/v1/chat/completions",
        "responses": b"/v1/responses",
    },
    models_path=b"/v1/models",
    credentials=bearer,
    listing="minimax",
    key_variable="MINIMAX_API_KEY",
    models=("MiniMax-*",),
    rebase=rooted("/anthropic/v1", "/anthropic", "/v1"),
    profile=replace(
        COMPATIBLE,
        provider="minimax",
        max_tokens_field="max_completion_tokens",
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n", "seed"}),
        temperature_range=(0.01, 1),
        documents=None,
        adds=(("reasoning_split", True),),
        reasoning_details="all",
        reasoning_effort=False,
        thinking_switch="thinking",
        thinking_on="adaptive",
        parallel_tool_calls=False,
        tool_choices=frozenset(),
        json_object=False,
        json_schema=False,
    ),
)
