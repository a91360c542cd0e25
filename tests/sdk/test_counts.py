"""The official SDKs ask how many tokens a request has, of upstreams that count in any dialect, or in none."""

from typing import Any

import anthropic
import openai
import pytest

from asgi_llm.testing import Answer

genai = pytest.importorskip("google.genai")

TOOL = {"name": "add", "description": "Adds two numbers", "schema": {"type": "object", "properties": {}}}


async def ask_anthropic(desk: Any) -> int:
    async with anthropic.AsyncAnthropic(base_url=desk.url, api_key="sk-caller", max_retries=0) as client:
        said = await client.messages.count_tokens(
            model="m",
            system="Be brief.",
            messages=[{"role": "user", "content": "Hello there"}],
            tools=[{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}],  # type: ignore[typeddict-item]  # a table of tools
        )
    return said.input_tokens


async def ask_openai(desk: Any) -> int:
    async with openai.AsyncOpenAI(base_url=f"{desk.url}/v1", api_key="sk-caller", max_retries=0) as client:
        said = await client.responses.input_tokens.count(model="m", instructions="Be brief.", input="Hello there")
    assert said.object == "response.input_tokens"
    return said.input_tokens


async def ask_google(desk: Any) -> int:
    options = genai.types.HttpOptions(base_url=desk.url)
    async with genai.Client(api_key="sk-caller", http_options=options).aio as client:
        said = await client.models.count_tokens(model="m", contents="Hello there")
    return int(said.total_tokens)


ASK = {"anthropic": ask_anthropic, "openai": ask_openai, "google": ask_google}
COUNTS = {
    "anthropic": {"input_tokens": 21},
    "openai": {"object": "response.input_tokens", "input_tokens": 21},
    "gemini": {"totalTokens": 21},
}
callers = pytest.mark.parametrize("ask", ASK.values(), ids=list(ASK))


class Speaker:
    def __init__(self, provider: str) -> None:
        self.settings = {"provider": provider}


@callers
@pytest.mark.parametrize("provider", COUNTS)
async def test_the_upstream_counts(open_desk: Any, ask: Any, provider: str) -> None:
    desk = await open_desk(Speaker(provider), [Answer.json(COUNTS[provider])])
    assert await ask(desk) == 21
    assert "Hello there" in desk.upstream.requests[0].body.decode()
    exchange = await desk.ended()
    assert (exchange.outcome, exchange.usage, exchange.warnings) == ("ok", None, ())


@callers
async def test_the_echo_counts_words(open_gateway: Any, ask: Any) -> None:
    desk = await open_gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    assert await ask(desk) == (2 if ask is ask_google else 4)


@callers
async def test_nobody_counts(open_desk: Any, ask: Any) -> None:
    desk = await open_desk(Speaker("openai_compatible"))
    assert 5 < await ask(desk) < 60
    assert [(warned.field, warned.action) for warned in (await desk.ended()).warnings] == [("input_tokens", "estimate")]
    assert desk.upstream.requests == []


@callers
async def test_the_endpoint_is_not_there_after_all(open_desk: Any, ask: Any) -> None:
    desk = await open_desk(Speaker("vllm"), [Answer.json({"detail": "Not Found"}, 404)])
    assert 5 < await ask(desk) < 60
    assert [(warned.field, warned.action) for warned in (await desk.ended()).warnings] == [("input_tokens", "estimate")]


async def test_refusals_are_the_sdks_own_errors(open_desk: Any) -> None:
    desk = await open_desk(Speaker("openai_compatible"), deny=["m"])
    with pytest.raises(anthropic.PermissionDeniedError):
        await ask_anthropic(desk)
    with pytest.raises(openai.PermissionDeniedError):
        await ask_openai(desk)
    with pytest.raises(genai.errors.ClientError, match="not permitted"):
        await ask_google(desk)
