"""Anthropic's own API, and servers that imitate it under a base URL of theirs."""

from urllib.parse import urlsplit

from asgi_llm.dialects.interface import Profile
from asgi_llm.types import Headers

from .provider import Provider

__all__ = ["ANTHROPIC"]


def _api_key(key: str) -> Headers:
    return [(b"x-api-key", key.encode("ascii"))]


def _rebase(url: str) -> str:
    # The SDKs take a base URL without the version segment, so that is what people have at hand.
    return url if urlsplit(url).path.rstrip("/").endswith("/v1") else f"{url.rstrip('/')}/v1"


ANTHROPIC = Provider(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com/v1",
    dialects=("messages",),
    paths={"messages": b"/messages"},
    count_paths={"messages": b"/messages/count_tokens"},
    models_dialect="messages",
    credentials=_api_key,
    listing="anthropic",
    key_variable="ANTHROPIC_API_KEY",
    models=("claude-*",),
    rebase=_rebase,
    profile=Profile(provider="anthropic"),
    fixed_headers={"messages": [(b"anthropic-version", b"2023-06-01")]},
)
