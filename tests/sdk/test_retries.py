"""The official SDKs ask again on their own account; the gateway tells them when that would only multiply its own
attempts, and when to come back."""

from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from asgi_llm import Gateway, Identity
from asgi_llm.testing import Answer, ScriptedUpstream, chat_error, chat_text, messages_error, messages_text

ANN = Identity(subject="ann")
Ask = Callable[[Gateway], Any]


async def ask_openai(gateway: Gateway) -> Any:
    client = openai.AsyncOpenAI(api_key="none", http_client=gateway.client(identity=ANN))
    return await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


async def ask_anthropic(gateway: Gateway) -> Any:
    client = anthropic.AsyncAnthropic(api_key="none", http_client=gateway.client(identity=ANN))
    return await client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])


def gateway(upstream: ScriptedUpstream, provider: str, **more: Any) -> Gateway:
    settings = {"provider": provider, "base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **more}
    return Gateway({"targets": {"up": settings}})


sdks = pytest.mark.parametrize(
    ("ask", "provider", "error", "good", "sdk"),
    [
        (ask_openai, "openai_compatible", chat_error, chat_text, openai),
        (ask_anthropic, "anthropic", messages_error, messages_text, anthropic),
    ],
    ids=["openai", "anthropic"],
)


@sdks
async def test_what_the_gateway_tried_in_vain_they_do_not_try_again(
    ask: Ask, provider: str, error: Callable[..., Answer], good: Any, sdk: Any
) -> None:
    async with ScriptedUpstream(error(500)) as upstream:
        one = gateway(upstream, provider, retry={"base": 0, "attempts": 3})
        async with one.running():
            with pytest.raises(sdk.InternalServerError):
                await ask(one)
        assert len(upstream.requests) == 3


@sdks
async def test_what_it_could_not_wait_for_they_do(
    ask: Ask, provider: str, error: Callable[..., Answer], good: Any, sdk: Any
) -> None:
    async with ScriptedUpstream([error(429, headers={"retry-after": "1"}), good("Hello!")]) as upstream:
        one = gateway(upstream, provider, retry={"cap": 0.5})
        async with one.running():
            assert await ask(one)
        assert len(upstream.requests) == 2
