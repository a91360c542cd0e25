"""OpenAI's own API."""

from asgi_llm.dialects.interface import Profile

from .provider import Provider, bearer, versioned

__all__ = ["OPENAI"]

OPENAI = Provider(
    name="openai",
    base_url="https://api.openai.com/v1",
    dialects=("chat", "responses"),
    paths={"chat": b"/chat/completions", "responses": b"/responses"},
    count_paths={"responses": b"/responses/input_tokens"},
    credentials=bearer,
    rebase=versioned,
    profile=Profile(provider="openai"),
)
