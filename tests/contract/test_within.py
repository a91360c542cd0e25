"""The application itself calls models, without a socket: the same rules and accounts as for callers from outside."""

import asyncio
from typing import Any

import pytest

from asgi_llm import Gateway, Identity, PolicyError

ANN = Identity(subject="ann", tenant="acme", source="contract")
HELLO: Any = [{"role": "user", "content": "Hello there"}]
LIMITED = {
    "auth": {"keys": [{"key": "k-1", "subject": "ci"}]},
    "ledger": {"interval": 0.01},
    "quotas": [{"name": "few", "per": ["subject"], "resource": "requests", "window": 3600, "limit": 4}],
}


def by_sdks(gateway: Gateway) -> None:
    """As in a view without an event loop."""
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    with openai.OpenAI(http_client=gateway.sync_client(identity=ANN), api_key="none") as client:
        stream = client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello there"
    with anthropic.Anthropic(http_client=gateway.sync_client(identity=ANN), api_key="none") as client:
        answer = client.messages.create(model="echo", max_tokens=9, messages=HELLO)
        assert answer.content[0].text == "Hello there"


async def by_async_sdks(gateway: Gateway) -> None:
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    async with openai.AsyncOpenAI(http_client=gateway.client(identity=ANN), api_key="none") as client:
        stream = await client.responses.create(model="echo", input="Hello there", stream=True)
        said = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        assert "".join(said) == "Hello there"
    async with anthropic.AsyncAnthropic(http_client=gateway.client(identity=ANN), api_key="none") as client:
        answer = await client.messages.create(model="echo", max_tokens=9, messages=HELLO)
        assert answer.content[0].text == "Hello there"


async def test_identity_quotas_and_ledger_are_the_same(serve: Any, way: Any) -> None:
    """For the official SDKs and for short calls: four requests from within are all that Ann has."""
    ann = {"x-user": "ann"}
    async with serve(LIMITED) as served:
        gateway = served.mount.gateway
        if way.wsgi:
            await asyncio.to_thread(by_sdks, gateway)
        else:
            await by_async_sdks(gateway)
        assert (await gateway.chat("echo", "Hello there", identity=ANN)).text == "Hello there"
        assert [text async for text in gateway.chat_stream("echo", "Hello there", identity=ANN)] == ["Hello", " there"]
        with pytest.raises(PolicyError, match="few") as refused:
            await gateway.chat("echo", "Hello there", identity=ANN)
        assert refused.value.code == "quota_exceeded"
        outside = await served.post("/v1/chat/completions", {"model": "echo", "messages": HELLO}, headers=ann)
        assert (outside.status_code, outside.json()["error"]["code"]) == (429, "quota_exceeded")
        assert {(item.identity.subject, item.identity.tenant) for item in await served.settled(6)} == {("ann", "acme")}

        async def counted() -> Any:
            while True:
                told = (await served.get("/v1/usage?by=outcome", headers=ann)).json()
                groups = {group["outcome"]: group["requests"] for group in told["data"]}
                if sum(groups.values()) >= 6:
                    return groups
                await asyncio.sleep(0.02)

        async with asyncio.timeout(60):
            assert await counted() == {"ok": 4, "denied": 2}
