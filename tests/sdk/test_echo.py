"""The embedded echo and its stage directions, through the official SDKs in all three dialects."""

from typing import Any

import openai
import pytest

from asgi_llm.testing import Call

ECHO = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


async def _ask(open_gateway: Any, caller: Any, how: str, text: str, **more: Any) -> Any:
    desk = await open_gateway(ECHO)
    return await getattr(caller, how)(await desk.client(caller), caller.ask(text, **more))


async def test_it_repeats(open_gateway: Any, caller: Any, how: str) -> None:
    said = await _ask(open_gateway, caller, how, "Hello  wörld ☃,\n\nhow are you?")
    assert said.text == "Hello  wörld ☃,\n\nhow are you?"
    assert said.usage.input == 6


async def test_it_thinks_and_speaks(open_gateway: Any, caller: Any, how: str) -> None:
    said = await _ask(open_gateway, caller, how, "/think Deep thoughts.\n/say Yes.\n/usage 100 7")
    assert (said.thoughts, said.text) == ("Deep thoughts.", "Yes.")
    assert (said.usage.input, said.usage.output) == (100, 7)


async def test_it_calls_tools_and_hears_of_them(open_gateway: Any, kit: Any, caller: Any) -> None:
    desk = await open_gateway(ECHO)
    client = await desk.client(caller)
    text = '/tool add {"a":1,"b":2}\n/tool weather {"city":"Oslo"}'
    first = await caller.helper(client, caller.ask(text, tools=kit.tools))
    assert first.calls == [
        Call("add", '{"a":1,"b":2}', "call_echo_0"),
        Call("weather", '{"city":"Oslo"}', "call_echo_1"),
    ]
    results = [kit.result("call_echo_0", ["3"]), kit.result("call_echo_1", ["rain"])]
    second = await caller.helper(client, caller.ask(text, first, results, tools=kit.tools))
    assert second.text == "tool said: 3; rain"


async def test_a_forced_tool_gets_arguments_that_fit(open_gateway: Any, kit: Any, caller: Any, how: str) -> None:
    choice = {"chat": "required", "messages": {"type": "any"}}[caller.name]
    said = await _ask(open_gateway, caller, how, "Go.", tools=kit.tools, tool_choice=choice)
    assert [(call.name, call.arguments) for call in said.calls] == [("add", '{"a":1,"b":1}')]


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "BadRequestError"), (404, "NotFoundError"), (429, "RateLimitError"), (500, "InternalServerError")],
)
async def test_errors(open_gateway: Any, caller: Any, how: str, status: int, name: str) -> None:
    with pytest.raises(getattr(caller.sdk, name)) as caught:
        await _ask(open_gateway, caller, how, f"/error {status} Not today.")
    assert caught.value.status_code == status
    assert "Not today." in str(caught.value)


@pytest.mark.parametrize("direction", ["/fail Broken.", "/cut"])
@pytest.mark.parametrize("how", ["plain", "helper"])
async def test_streams_that_fail_midway(open_gateway: Any, caller: Any, how: str, direction: str) -> None:
    with pytest.raises(caller.sdk.APIError) as caught:
        await _ask(open_gateway, caller, how, f"{direction}\none two three")
    if direction == "/fail Broken.":
        assert "Broken." in str(caught.value)


async def test_responses(open_gateway: Any, chat_caller: Any) -> None:
    desk = await open_gateway(ECHO)
    client = await desk.client(chat_caller)
    whole = await client.responses.create(model="echo", input="/think Hm.\nhello you")
    async with client.responses.stream(model="echo", input="/think Hm.\nhello you") as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    assert whole.output_text == streamed.output_text == "hello you"
    assert whole.usage == streamed.usage
    assert [item.type for item in whole.output] == [item.type for item in streamed.output] == ["reasoning", "message"]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")

    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model="echo", input="/error 429 Slow down.")
    failed = [
        event async for event in await client.responses.create(model="echo", input="/fail Broken.\na b", stream=True)
    ]
    assert failed[-1].type == "response.failed"
    assert failed[-1].response.error.message == "Broken."


async def test_models_are_listed(open_gateway: Any, caller: Any) -> None:
    desk = await open_gateway(ECHO)
    client = await desk.client(caller)
    names = [model.id async for model in client.models.list()]
    assert "echo" in names
    assert (await client.models.retrieve("echo")).id == "echo"
