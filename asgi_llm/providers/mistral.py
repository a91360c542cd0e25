"""Mistral AI: fields it does not know are refused, roles have their order, thoughts are parts ("Chat Completion")."""

from dataclasses import replace

from asgi_llm.dialects.profile import Order, family

from .endpoints import paths_of
from .openai_compatible import COMPATIBLE
from .provider import Provider, bearer, versioned

__all__ = ["MISTRAL"]

MISTRAL = Provider(
    name="mistral",
    title="Mistral AI",
    base_url="https://api.mistral.ai/v1",
    dialects=("chat",),
    paths={"chat": b"/chat/completions"},
    endpoints=paths_of("embeddings", "moderations", "audio_transcriptions"),
    credentials=bearer,
    listing="mistral",
    key_variable="MISTRAL_API_KEY",
    models=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*"),
    rebase=versioned,
    profile=replace(
        COMPATIBLE,
        provider="mistral",
        strict_fields=True,
        tool_id_limit=9,
        strict_tools=True,
        lacks=frozenset({"logit_bias", "logprobs"}),
        seed_field="random_seed",
        temperature_range=(0, 1.5),
        max_stop=None,
        stream_usage=False,  # comes unasked
        documents="document_url",
        reasoning_effort=False,
        order=Order(system_turns=False, user_after_tool=False, prefill="prefix"),
        families=(
            family("magistral", reasoning_field="content"),
            family(
                r"mistral-(medium-(3[.-][5-9]|latest)|small-(2[6-9]|4|latest))",
                reasoning_field="content",
                reasoning_effort=True,
                efforts=("none", "high"),
            ),
        ),
    ),
)
