"""An upstream that has the whole Responses API, and a gateway in front that lets it keep everything: the official SDK
sees no difference. The upstream is a gateway with state itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from ends.chat import ChatCaller

from asgi_llm.testing import Answer, Recorded, ScriptedUpstream, Wait, chat_stream, chat_text


@pytest.fixture
async def open_pair(open_gateway: Any) -> Any:
    """``await open_pair(model)`` gives a client of the gateway in front."""

    async def open_pair(model: ScriptedUpstream) -> openai.AsyncOpenAI:
        target = {"provider": "openai", "base_url": f"{model.url}/v1", "api_key": "sk-model", "dialects": ["chat"]}
        keys = {"keys": [{"key": key, "subject": key} for key in ("sk-one", "sk-two")]}
        behind = await open_gateway({"targets": {"m": target}, "auth": keys, "responses": {"stateful": True}})
        target = {"provider": "openai", "base_url": f"{behind.url}/v1", "api_keys": ["sk-one", "sk-two"]}
        settings = {
            "targets": {"up": target},
            "auth": {"anonymous": True},
            "responses": {"stateful": True, "native": "verbatim", "conversations": "up"},
        }
        front = await open_gateway(settings)
        client: openai.AsyncOpenAI = await front.client(ChatCaller())
        return client

    return open_pair


def answers(texts: Sequence[str]) -> Any:
    """A model that says one after the other, streamed or not."""
    said = iter(texts)

    async def answer(request: Recorded) -> Answer:
        text = next(said)
        return chat_stream([text]) if request.json.get("stream") else chat_text(text)

    return answer


async def test_responses(open_pair: Any) -> None:
    async with ScriptedUpstream(answers(["I am Ada.", "You said hello.", "Ada and you met."])) as model:
        client = await open_pair(model)
        first = await client.responses.create(model="m", input="Hello!")
        events = [
            event
            async for event in await client.responses.create(
                model="m", input="What did I say?", previous_response_id=first.id, stream=True
            )
        ]
        second = events[-1].response
        assert (second.output_text, second.previous_response_id) == ("You said hello.", first.id)
        assert "I am Ada." in model.requests[1].body.decode()
        assert await client.responses.retrieve(second.id) == second
        listed = [item async for item in client.responses.input_items.list(second.id, limit=2, order="asc")]
        assert [item.role for item in listed] == ["user", "assistant", "user"]
        small = await client.responses.compact(model="m", previous_response_id=second.id)
        assert small.output[-1].type == "compaction"
        assert (await client.responses.input_tokens.count(model="m", previous_response_id=second.id)).input_tokens > 10
        await client.responses.delete(first.id)
        for name in (first.id, "resp_unknown"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(name)


async def test_the_background(open_pair: Any) -> None:
    go = asyncio.Event()

    async def answer(_request: Recorded) -> Answer:
        return chat_stream(["At ", Wait(go), "last."])

    async with ScriptedUpstream(answer) as model, asyncio.timeout(60):
        client = await open_pair(model)
        stream = await client.responses.create(model="m", input="Think.", background=True, stream=True)
        begun = await anext(aiter(stream))
        await stream.close()
        assert (await client.responses.retrieve(begun.response.id)).status == "in_progress"
        go.set()
        after = begun.sequence_number
        rest = [
            event
            async for event in await client.responses.retrieve(begun.response.id, stream=True, starting_after=after)
        ]
        assert [event.sequence_number for event in rest] == list(range(after + 1, after + 1 + len(rest)))
        assert rest[-1].response.output_text == "At last."
        go.clear()
        queued = await client.responses.create(model="m", input="Think.", background=True)
        assert queued.status == "queued"
        assert (await client.responses.cancel(queued.id)).status == "cancelled"
        assert (await client.responses.retrieve(queued.id)).status == "cancelled"
        go.set()


async def test_conversations(open_pair: Any) -> None:
    async with ScriptedUpstream(answers(["Hi.", "Yes."])) as model:
        client = await open_pair(model)
        made = await client.conversations.create(metadata={"a": "b"})
        await client.conversations.items.create(made.id, items=[{"role": "user", "content": "My name is Ada."}])
        for text in ("Hello.", "Sure?"):
            await client.responses.create(model="m", input=text, conversation=made.id)
        items = [item async for item in client.conversations.items.list(made.id, order="asc")]
        assert len(items) == 5
        assert (await client.conversations.items.retrieve(items[0].id, conversation_id=made.id)).id == items[0].id
        await client.conversations.items.delete(items[0].id, conversation_id=made.id)
        assert (await client.conversations.update(made.id, metadata={"c": "d"})).metadata == {"c": "d"}
        assert (await client.conversations.retrieve(made.id)).metadata == {"c": "d"}
        assert (await client.conversations.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(made.id)
