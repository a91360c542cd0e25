"""The official SDKs through a Django project, however it is served."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")
httpx2 = pytest.importorskip("httpx2")

HELLO: Any = [{"role": "user", "content": "Hello there"}]
KEYS = {"keys": [{"key": "sk-caller", "subject": "ann"}]}


@pytest.fixture
async def url(way: str, serve: Any, configured: Any) -> AsyncIterator[str]:
    configured({"auth": KEYS})
    async with serve(way) as address:
        yield f"{address}/llm"


@pytest.fixture
async def http() -> AsyncIterator[Any]:
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


async def test_openai(url: str, http: Any) -> None:
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-caller", http_client=http, max_retries=0)
    whole = await client.chat.completions.create(model="echo", messages=HELLO)
    assert whole.choices[0].message.content == "Hello there"
    stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == "Hello there"
    assert (await client.responses.create(model="echo", input="Hello there")).output_text == "Hello there"
    async with client.responses.stream(model="echo", input="Hello there") as events:
        assert (await events.get_final_response()).output_text == "Hello there"
    assert [model.id async for model in client.models.list()] == ["echo", "echo-thinking"]


async def test_anthropic(url: str, http: Any) -> None:
    client = anthropic.AsyncAnthropic(base_url=url, api_key="sk-caller", http_client=http, max_retries=0)
    whole = await client.messages.create(model="echo", max_tokens=100, messages=HELLO)
    assert [block.text for block in whole.content if block.type == "text"] == ["Hello there"]
    async with client.messages.stream(model="echo", max_tokens=100, messages=HELLO) as stream:
        assert "".join([text async for text in stream.text_stream]) == "Hello there"
        assert (await stream.get_final_message()).stop_reason == "end_turn"


async def test_errors_are_theirs(url: str, http: Any) -> None:
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="wrong", http_client=http, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(model="echo", messages=HELLO)
    claude = anthropic.AsyncAnthropic(base_url=url, api_key="sk-caller", http_client=http, max_retries=0)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await claude.messages.create(model="echo", max_tokens=-1, messages=HELLO)
