"""Short calls: plain values, and exceptions that say who is to blame."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import ClientError, Exchange, Gateway, PolicyError, UpstreamError
from asgi_llm.testing import (
    Answer,
    Call,
    Reset,
    ScriptedUpstream,
    Stall,
    Tokens,
    Wait,
    chat_error,
    chat_events,
    chat_stream,
    chat_text,
    no_leaks,
)

TALK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}]


def before(upstream: ScriptedUpstream, settled: list[Exchange] | None = None, **more: Any) -> Gateway:
    target = {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1", "retry": {"attempts": 1}, **more}
    return Gateway({"targets": {"up": target}}, on_settled=settled.append if settled is not None else ())


async def test_a_text_in_and_a_text_out() -> None:
    settled: list[Exchange] = []
    answer = chat_text("Good day.", tokens=Tokens(input=7, output=3), model="m-1")
    async with ScriptedUpstream([answer]) as upstream:
        gateway = before(upstream, settled)
        async with no_leaks(), gateway.running():
            reply = await gateway.chat("m", "Hello", identity="ann", max_tokens=5)
        assert upstream.requests[0].json == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 5,
            "stream": False,
        }
    assert (reply.text, reply.finish, reply.calls, reply.model) == ("Good day.", "end", (), "m-1")
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.output) == (7, 3)
    assert [(item.id, item.identity.subject) for item in settled] == [(reply.request_id, "ann")]


async def test_tools() -> None:
    async with ScriptedUpstream([chat_text("", calls=[Call("get_weather", '{"city": "Oslo"}')])]) as upstream:
        gateway = before(upstream)
        async with gateway.running():
            reply = await gateway.chat("m", TALK, tools=[{"type": "function", "function": {"name": "get_weather"}}])
    assert [(call.name, call.arguments) for call in reply.calls] == [("get_weather", '{"city": "Oslo"}')]
    assert reply.finish == "tool_calls"


async def test_a_stream() -> None:
    gate = asyncio.Event()
    events = chat_events(("one", " two", " three"), tokens=Tokens(input=7, output=3))
    async with ScriptedUpstream([Answer.sse([*events[:2], Wait(gate), *events[2:]])]) as upstream:
        gateway = before(upstream)
        async with no_leaks(), gateway.running(), gateway.chat_stream("m", "count") as stream:
            with pytest.raises(RuntimeError, match="not whole"):
                _ = stream.reply
            first = await anext(stream)
            gate.set()
            rest = "".join([text async for text in stream])
    assert (first, rest, stream.reply.text) == ("one", " two three", "one two three")
    assert stream.reply.usage is not None
    assert stream.reply.usage.output == 3


@pytest.mark.parametrize("how", ["block", "forgotten"])
async def test_a_stream_that_is_left(how: str) -> None:
    async with no_leaks(), ScriptedUpstream([Answer.sse([*chat_events()[:2], Stall()])]) as upstream:
        gateway = before(upstream)
        async with gateway.running():
            stream = gateway.chat_stream("m", "count")
            await anext(stream)
            if how == "block":
                await stream.aclose()
            del stream
            await upstream.requests[0].wait_disconnected()


async def test_who_is_to_blame() -> None:
    script = [chat_error(400, "No such thing."), chat_error(429, "Slow down.", headers={"retry-after": "7"})]
    async with ScriptedUpstream(script) as upstream:
        gateway = before(upstream, deny=["secret-*"])
        async with gateway.running():
            with pytest.raises(UpstreamError, match="No such thing"):
                await gateway.chat("m", "Hello")
            with pytest.raises(UpstreamError, match="Slow down") as limited:
                await gateway.chat("m", "Hello")
            assert (limited.value.status, limited.value.retry_after) == (429, 7)
            with pytest.raises(PolicyError) as denied:
                await gateway.chat("secret-1", "Hello")
            assert (denied.value.code, denied.value.param) == ("model_not_permitted", "model")
            with pytest.raises(ClientError) as wrong:
                await gateway.chat_stream("", "Hello").__anext__()
            assert wrong.value.code == "model_required"


async def test_a_stream_that_breaks_off() -> None:
    async with ScriptedUpstream([chat_stream(["Hel", Reset()])]) as upstream:
        gateway = before(upstream)
        async with gateway.running():
            said = []
            with pytest.raises(UpstreamError):  # noqa: PT012  # what came before it is looked at
                async for text in gateway.chat_stream("m", "Hello"):
                    said.append(text)  # noqa: PERF401  # it raises
    assert "".join(said) == "Hel"


async def test_the_guides_examples_work() -> None:
    page = (Path(__file__).parents[3] / "docs" / "mounting.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(block, names)
    async with names["gateway"].running():
        assert await names["summary"]("ann", "Hello there") == "Hello there"
        assert await names["short"]("ann", "Hello there") == "Hello there"
