"""OpenAI's own API."""

from asgi_llm.dialects.interface import Profile

from .endpoints import AUDIO, BATCHES, FILES, IMAGES, paths_of
from .provider import Provider, bearer, versioned

__all__ = ["OPENAI"]

OPENAI = Provider(
    name="openai",
    title="OpenAI",
    base_url="https://api.openai.com/v1",
    dialects=("chat", "responses"),
    paths={"chat": b"/chat/completions", "responses": b"/responses"},
    count_paths={"responses": b"/responses/input_tokens"},
    endpoints=paths_of("completions", "embeddings", "moderations", *IMAGES, *AUDIO, *FILES, *BATCHES),
    credentials=bearer,
    listing="openai",
    key_variable="OPENAI_API_KEY",
    models=("gpt-*", "o[0-9]*"),
    rebase=versioned,
    profile=Profile(provider="openai"),
)
