"""An LLM gateway that lives inside the web application you already run.

from asgi_llm import Gateway, LLMMiddleware

gateway = Gateway({"targets": {"openai": {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}}})
app = LLMMiddleware(app, gateway, prefix="/llm")
"""

from asgi_llm.asgi.middleware import LLMMiddleware
from asgi_llm.errors import (
    AsgiLLMError,
    ClientError,
    ConfigError,
    PolicyError,
    Problem,
    TranslationError,
    UpstreamError,
)
from asgi_llm.exchange import Exchange
from asgi_llm.gateway import Gateway
from asgi_llm.identity import Identity
from asgi_llm.neutral.usage import Usage
from asgi_llm.settings import Settings

__all__ = [
    "AsgiLLMError",
    "ClientError",
    "ConfigError",
    "Exchange",
    "Gateway",
    "Identity",
    "LLMMiddleware",
    "PolicyError",
    "Problem",
    "Settings",
    "TranslationError",
    "UpstreamError",
    "Usage",
]
__version__ = "0.1.0"
