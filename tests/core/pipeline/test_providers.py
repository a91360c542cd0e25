"""A request arrives where each provider expects it: path, key and what the body says."""

from typing import Any

import msgspec
import pytest

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver, ScriptedUpstream, chat_text, messages_text

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


async def ask(upstream: ScriptedUpstream, provider: str, base: str, path: str, **body: Any) -> dict[str, Any]:
    target = {"provider": provider, "base_url": f"{upstream.url}{base}", "api_key": "k"}
    gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}})
    async with gate.running():
        headers = [("content-type", "application/json")]
        exchange = await ASGIDriver(gate.asgi).request("POST", path, headers, msgspec.json.encode(ASKED | body))
        head = await exchange.start()
        said: dict[str, Any] = msgspec.json.decode(await exchange.body())
        await exchange.finished()
    assert head.status == 200, said
    warned = [value.decode() for name, value in head.headers if name == b"x-llm-warnings"]
    return {"said": said, "warned": warned}


@pytest.mark.parametrize(
    ("provider", "base", "chat", "messages"),
    [
        ("azure", "/openai", "/openai/v1/chat/completions", "/openai/v1/chat/completions"),
        ("deepseek", "/v1", "/chat/completions", "/anthropic/v1/messages"),
        ("kimi", "/anthropic", "/v1/chat/completions", "/anthropic/v1/messages"),
        ("minimax", "/v1", "/v1/chat/completions", "/anthropic/v1/messages"),
        ("glm", "/api/paas/v4", "/api/paas/v4/chat/completions", "/api/anthropic/v1/messages"),
        ("qwen", "/compatible-mode/v1", "/compatible-mode/v1/chat/completions", "/apps/anthropic/v1/messages"),
        ("openrouter", "/api/v1", "/api/v1/chat/completions", "/api/v1/messages"),
        ("ollama", "", "/v1/chat/completions", "/v1/messages"),
        ("groq", "/openai/v1", "/openai/v1/chat/completions", "/openai/v1/chat/completions"),
    ],
)
async def test_each_dialect_goes_to_its_place(provider: str, base: str, chat: str, messages: str) -> None:
    speaks = messages_text("Hello.") if messages.endswith("messages") else chat_text("Hello.")
    async with ScriptedUpstream([chat_text("Hello."), speaks]) as upstream:
        await ask(upstream, provider, base, "/v1/chat/completions")
        await ask(upstream, provider, base, "/v1/messages")
    assert [request.path for request in upstream.requests] == [chat, messages]
    for request in upstream.requests:
        key = (request.header("api-key"), request.header("authorization"))
        assert key == (("k", None) if provider == "azure" else (None, "Bearer k"))


async def test_what_a_provider_lacks_is_told_to_the_caller() -> None:
    async with ScriptedUpstream([chat_text("Hello.")]) as upstream:
        told = await ask(
            upstream, "mistral", "/v1", "/v1/messages", top_k=5, temperature=1, stop_sequences=list("abcde")
        )
    assert told["said"]["content"][0]["text"] == "Hello."
    assert "top_k;warn" in told["warned"][0]
    assert upstream.requests[0].json["stop"] == list("abcde")
