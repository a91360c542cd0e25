"""What is told of one exchange when it is over: values only."""

from typing import Literal

from msgspec import Struct

__all__ = ["OPERATIONS", "PROVIDERS", "AttemptRecord", "ExchangeRecord", "operation_of", "provider_of"]

OPERATIONS = {
    "chat_completions": "chat",
    "messages": "chat",
    "responses": "chat",
    "generate_content": "generate_content",
    "stream_generate_content": "generate_content",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "embed_content": "embeddings",
    "batch_embed_contents": "embeddings",
}
"""Endpoint -> ``gen_ai.operation.name``."""

PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "gemini_chat": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "deepseek": "deepseek",
    "groq": "groq",
    "kimi": "moonshot_ai",
}
"""Provider in the settings -> ``gen_ai.provider.name``, where the conventions have a word of their own for it."""


def operation_of(endpoint: str) -> str:
    """One of the conventions' where they have one, else the endpoint's name."""
    return OPERATIONS.get(endpoint, endpoint)


def provider_of(name: str) -> str:
    return PROVIDERS.get(name, name)


class AttemptRecord(Struct, frozen=True):
    """``result`` and ``seconds`` as in ``exchange.Attempt``."""

    target: str
    result: str
    seconds: float


class ExchangeRecord(Struct, frozen=True, kw_only=True):
    """One exchange. Times are seconds; ``first_token`` is from its arrival to the first token of its stream, where
    there was one. ``input`` and ``output`` are tokens, None where nobody said; the others are parts of them.

    ``served`` is the model that was asked, ``error`` what went wrong: the code, None where nothing did. ``mode``,
    ``rung`` and ``why`` are empty where it did not come so far; ``cache`` is ``hit`` or ``miss`` where the cache of
    answers was asked. ``warnings`` are what was done to fields that did not pass as they were, as ``field;action``.
    """

    id: str
    at: float
    endpoint: str
    dialect: str
    model: str
    outcome: str
    status: int
    seconds: float
    stream: bool = False
    tenant: str = ""
    subject: str = ""
    key_id: str | None = None
    target: str = ""
    provider: str = ""
    served: str = ""
    worker: str = ""
    mode: str = ""
    rung: str = ""
    why: str = ""
    cache: str = ""
    warnings: tuple[str, ...] = ()
    error: str | None = None
    first_token: float | None = None
    input: int | None = None
    output: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    attempts: tuple[AttemptRecord, ...] = ()
    trace_id: str | None = None

    @property
    def per_token(self) -> float | None:
        """Seconds for each token of output behind the first."""
        if self.first_token is None or self.output is None or self.output < 2 or self.outcome != "ok":
            return None
        return (self.seconds - self.first_token) / (self.output - 1)

    def tokens(self) -> tuple[tuple[Literal["input", "output"], int], ...]:
        """What was used by its type, as far as it is known."""
        found: list[tuple[Literal["input", "output"], int]] = []
        if self.input is not None:
            found.append(("input", self.input))
        if self.output is not None:
            found.append(("output", self.output))
        return tuple(found)
