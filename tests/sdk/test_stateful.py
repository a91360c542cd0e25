"""The Responses API with state, through the official SDK, over upstreams of all dialects and on every store."""

import json
from typing import Any

import openai
import pytest
from ends.chat import ChatCaller

from asgi_llm.testing import Call, ScriptedUpstream

ADD = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
    "strict": False,
}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory:"
    pytest.importorskip("sqlalchemy")
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
async def ask(open_gateway: Any) -> Any:
    """``await ask(speaker, upstream, store)`` gives a client of a gateway with state."""

    async def ask(speaker: Any, upstream: ScriptedUpstream, url: str = "memory:", **more: Any) -> openai.AsyncOpenAI:
        target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **speaker.settings}
        settings = {
            "targets": {"main": target},
            "auth": {"anonymous": True},
            "responses": {"stateful": True, **more},
            "store": {"url": url},
        }
        desk = await open_gateway(settings)
        client: openai.AsyncOpenAI = await desk.client(ChatCaller())
        return client

    return ask


async def say(client: openai.AsyncOpenAI, stream: bool, **asked: Any) -> Any:
    """The response, and that all events of a stream are about it."""
    if not stream:
        return await client.responses.create(model="m", **asked)
    events = [event async for event in await client.responses.create(model="m", stream=True, **asked)]
    about = {event.response.id for event in events if hasattr(event, "response")}
    assert about == {events[-1].response.id}
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events[-1].response


def heard(speaker: Any, request: Any) -> str:
    """Everything that an upstream was told, as text."""
    return json.dumps(request.json, ensure_ascii=False)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_conversation_by_previous_response_id(ask: Any, any_speaker: Any, store_url: str, stream: bool) -> None:
    script = [any_speaker.answer(stream, [text]) for text in ("I am Ada.", "You said hello.", "Bye.")]
    async with ScriptedUpstream(script) as upstream:
        client = await ask(any_speaker, upstream, store_url)

        first = await say(client, stream, input="Hello!", instructions="Be brief.", metadata={"topic": "greeting"})
        second = await say(client, stream, input="What did I say?", previous_response_id=first.id)
        third = await say(client, stream, input="Bye?", previous_response_id=second.id)

        assert first.id.startswith("resp_")
        assert (first.status, first.output_text, first.metadata) == ("completed", "I am Ada.", {"topic": "greeting"})
        assert first.id != second.id
        assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
        told = heard(any_speaker, upstream.requests[2])
        places = [told.index(text) for text in ("Hello!", "I am Ada.", "What did I say?", "You said hello.", "Bye?")]
        assert places == sorted(places)
        assert "Be brief." in heard(any_speaker, upstream.requests[0])
        assert "Be brief." not in told
        assert "previous_response_id" not in told

        kept = await client.responses.retrieve(second.id)
        assert kept.to_dict() == second.to_dict()
        page = await client.responses.input_items.list(second.id)
        item, answered, asked = page.data
        assert (asked.content[0].text, answered.content[0].text) == ("Hello!", "I am Ada.")
        assert (item.type, item.role, item.content[0].text) == ("message", "user", "What did I say?")

        await client.responses.delete(first.id)
        for gone in (client.responses.retrieve(first.id), client.responses.delete(first.id)):
            with pytest.raises(openai.NotFoundError) as error:
                await gone
            assert error.value.code == "response_not_found"
        with pytest.raises(openai.NotFoundError) as error:
            await say(client, stream, input="And?", previous_response_id=third.id)
        assert error.value.code == "previous_response_not_found"
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_tools_answer_alone_is_enough(ask: Any, any_speaker: Any, store_url: str, stream: bool) -> None:
    call = Call("add", '{"a":1,"b":2}', "call_abc")
    script = [any_speaker.answer(stream, [], calls=[call]), any_speaker.answer(stream, ["It is 3."])]
    async with ScriptedUpstream(script) as upstream:
        client = await ask(any_speaker, upstream, store_url)

        first = await say(client, stream, input="1 + 2?", tools=[ADD])
        (asked,) = [item for item in first.output if item.type == "function_call"]
        result = {"type": "function_call_output", "call_id": asked.call_id, "output": "3"}
        second = await say(client, stream, input=[result], tools=[ADD], previous_response_id=first.id)

        assert second.output_text == "It is 3."
        told = heard(any_speaker, upstream.requests[1])
        assert "1 + 2?" in told
        assert "No result" not in told
        kept = (await client.responses.input_items.list(second.id)).data
        assert [item.type for item in kept][:2] == ["function_call_output", "function_call"]
        assert kept[0].output == "3"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_conversations(ask: Any, any_speaker: Any, store_url: str, stream: bool) -> None:
    script = [any_speaker.answer(stream, [text]) for text in ("Noted.", "It is Rex.")]
    async with ScriptedUpstream(script) as upstream:
        client = await ask(any_speaker, upstream, store_url)
        opening: Any = [{"role": "user", "content": "My dog is Rex."}]
        conversation = await client.conversations.create(items=opening, metadata={"a": "b"})

        first = await say(client, stream, input="Remember it.", conversation=conversation.id)
        second = await say(client, stream, input="His name?", conversation={"id": conversation.id})

        assert first.conversation.id == second.conversation.id == conversation.id
        told = heard(any_speaker, upstream.requests[1])
        places = [told.index(text) for text in ("My dog is Rex.", "Remember it.", "Noted.", "His name?")]
        assert places == sorted(places)
        listed = await client.conversations.items.list(conversation.id, order="asc", limit=2)
        assert [item.content[0].text for item in listed.data] == ["My dog is Rex.", "Remember it."]
        assert listed.has_more
        everything = [item async for item in client.conversations.items.list(conversation.id, order="asc", limit=2)]
        assert len(everything) == 5
        more: Any = [{"role": "user", "content": "He is old."}]
        added = await client.conversations.items.create(conversation.id, items=more)
        one = await client.conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id)
        assert one.content[0].text == "He is old."
        await client.conversations.items.delete(one.id, conversation_id=conversation.id)
        with pytest.raises(openai.NotFoundError):
            await client.conversations.items.retrieve(one.id, conversation_id=conversation.id)
        changed = await client.conversations.update(conversation.id, metadata={"c": "d"})
        assert changed.metadata == {"c": "d"}
        assert (await client.conversations.retrieve(conversation.id)).metadata == {"c": "d"}
        assert (await client.conversations.delete(conversation.id)).deleted
        with pytest.raises(openai.NotFoundError) as error:
            await say(client, stream, input="And?", conversation=conversation.id)
        assert error.value.code == "conversation_not_found"


async def test_in_the_background(ask: Any, any_speaker: Any, store_url: str) -> None:
    async with ScriptedUpstream([any_speaker.answer(True, ["One ", "two."])]) as upstream:
        client = await ask(any_speaker, upstream, store_url)
        running = await client.responses.create(model="m", input="Count.", background=True, stream=True)
        events = [event async for event in running]
        name = events[0].response.id
        assert events[-1].response.output_text == "One two."
        again = [event async for event in await client.responses.retrieve(name, stream=True, starting_after=2)]
        assert [event.to_dict() for event in again] == [event.to_dict() for event in events[3:]]
        assert (await client.responses.retrieve(name)).status == "completed"
        with pytest.raises(openai.BadRequestError):
            await client.responses.cancel(name)
