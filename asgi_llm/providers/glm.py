"""GLM (Z.ai): tools are always the model's choice, and calls stream when asked to ("Chat completion").

A coding plan has an address of its own for Chat Completions: give it as ``base_url``, with ``dialects = ["chat"]``.
"""

from dataclasses import replace

from asgi_llm.dialects.profile import family

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, rooted

__all__ = ["GLM"]

GLM = Provider(
    name="glm",
    title="GLM (Z.ai)",
    base_url="https://api.z.ai/api",
    dialects=("chat", "messages"),
    paths={"chat": b"/paas/v4/chat/completions", "messages": b"/anthropic/v1/messages"},
    models_path=b"/paas/v4/models",
    endpoints=paths_of("embeddings", "rerank", "images_generations", "audio_transcriptions", root=b"/paas/v4"),
    credentials=bearer,
    listing="zai",
    key_variable="ZAI_API_KEY",
    models=("glm-*",),
    rebase=rooted("/paas/v4", "/anthropic/v1", "/anthropic"),
    profile=replace(
        COMPATIBLE,
        provider="glm",
        lacks=frozenset({"frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "n", "seed"}),
        temperature_range=(0, 1),
        max_stop=1,
        documents=None,
        reasoning_field="reasoning_content",
        efforts=("low", "high", "max"),
        parallel_tool_calls=False,
        tool_choices=frozenset(),
        tool_stream=True,
        json_schema=False,
        families=(
            # Before 5.3 thinking could be turned off, and had no grades.
            family(r"glm-(4\.[5-9]|5(?!\.[3-9]|\.\d\d))", reasoning_effort=False, thinking_switch="thinking"),
            family(r"glm-(4|z1)", reasoning_effort=False, tool_stream=False),
        ),
    ),
)
