"""An upstream in process that needs no key and no network: it repeats what it is told, deterministically.

It speaks every dialect through the dialects' own code, so a request to it takes the same way as any other. What it
does beyond repeating is asked for in the request (``script.py`` has the list); it serves the demo, the documentation
and tests of applications.
"""

from asgi_llm.dialects.interface import Profile
from asgi_llm.providers.provider import Provider

from .client import EchoClient
from .forwarded import ECHO_PATHS

__all__ = ["ECHO", "ECHO_MODELS", "EchoClient"]

ECHO_MODELS = ("echo", "echo-thinking")
"""The names it lists; it answers to any."""

ECHO = Provider(
    name="echo",
    title="Echo",
    base_url="http://echo.invalid/v1",
    dialects=("chat", "messages", "responses", "gemini"),
    paths={
        "chat": b"/chat/completions",
        "messages": b"/messages",
        "responses": b"/responses",
        "gemini": b"/models/{model}:generateContent",
    },
    stream_paths={"gemini": b"/models/{model}:streamGenerateContent?alt=sse"},
    count_paths={
        "messages": b"/messages/count_tokens",
        "responses": b"/responses/input_tokens",
        "gemini": b"/models/{model}:countTokens",
    },
    endpoints=ECHO_PATHS,
    models_path=None,
    credentials=lambda _key: [],
    profile=Profile(provider="echo", engine_sampling=True, reasoning_field="reasoning_content"),
    embedded=True,
)
