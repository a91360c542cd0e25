"""Azure OpenAI, by its v1 API: no ``api-version``, and a deployment's name for the model ("API lifecycle").

Claude models on Azure are spoken to with the provider ``anthropic`` and the base URL ``.../anthropic``.
"""

from dataclasses import replace
from urllib.parse import urlsplit

from asgi_llm.types import Headers

from .openai import OPENAI
from .provider import Provider

__all__ = ["AZURE"]

_DEPLOYMENTS = "/deployments/"


def _api_key(key: str) -> Headers:
    return [(b"api-key", key.encode("ascii"))]


def _rebase(url: str) -> str:
    """The resource's address, also where it was copied with the path of the dated API, which named the deployment."""
    bare = url.partition(_DEPLOYMENTS)[0].rstrip("/")
    path = urlsplit(bare).path.rstrip("/")
    if not path:
        return f"{bare}/openai/v1"
    return f"{bare}/v1" if path.endswith("/openai") else bare


AZURE = Provider(
    name="azure",
    title="Azure OpenAI",
    dialects=OPENAI.dialects,
    paths=OPENAI.paths,
    endpoints={
        name: path for name, path in OPENAI.endpoints.items() if name not in ("moderations", "images_variations")
    },
    credentials=_api_key,
    listing="azure",
    key_variable="AZURE_OPENAI_API_KEY",
    rebase=_rebase,
    profile=replace(OPENAI.profile, provider="azure"),
)
