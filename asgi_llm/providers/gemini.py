"""Google's Gemini API (AI Studio), and servers that imitate it under a base URL of theirs."""

from urllib.parse import urlsplit

from asgi_llm.dialects.forwarded.embeddings import EMBEDDINGS
from asgi_llm.dialects.interface import Profile
from asgi_llm.types import Headers

from .provider import Provider

__all__ = ["GEMINI"]

_VERSIONS = ("/v1", "/v1beta", "/v1alpha")


def _api_key(key: str) -> Headers:
    return [(b"x-goog-api-key", key.encode("ascii"))]


def _rebase(url: str) -> str:
    # The SDKs take a base URL without the version segment, so that is what people have at hand.
    return url if urlsplit(url).path.rstrip("/").endswith(_VERSIONS) else f"{url.rstrip('/')}/v1beta"


GEMINI = Provider(
    name="gemini",
    title="Gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    dialects=("gemini",),
    paths={"gemini": b"/models/{model}:generateContent"},
    stream_paths={"gemini": b"/models/{model}:streamGenerateContent?alt=sse"},
    count_paths={"gemini": b"/models/{model}:countTokens"},
    endpoints={
        "embeddings": b"/models/{model}:batchEmbedContents",
        "embed_content": b"/models/{model}:embedContent",
        "batch_embed_contents": b"/models/{model}:batchEmbedContents",
    },
    adapters={"embeddings": EMBEDDINGS},
    models_path=b"/models?pageSize=1000",
    models_dialect="gemini",
    credentials=_api_key,
    listing="google",
    key_variable="GEMINI_API_KEY",
    models=("gemini-*",),
    rebase=_rebase,
    profile=Profile(provider="gemini"),
)
