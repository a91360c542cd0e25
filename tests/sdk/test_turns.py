"""Conversations that go on: what the provider is shown in the next turn."""

import json
from typing import Any

import pytest

from asgi_llm.testing import Call

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PICTURES = {
    "base64": ({"data": PNG}, f"data:image/png;base64,{PNG}"),
    "url": ({"url": "https://example.org/cat.png?w=1"}, "https://example.org/cat.png?w=1"),
}
CALLS = [
    Call("add", '{"a":1,"b":2.0}', "call_a"),
    Call("weather", '{"city":"Tromsø"}', "call_b"),
    Call("add", '{"a":12345678901234567890,"b":0}', "call_c"),
]


async def test_a_round_of_parallel_tools(open_desk: Any, kit: Any, caller: Any, speaker: Any, how: str) -> None:
    """The caller runs the tools and sends the results in an order of its own; the provider finds each call and its
    result as it made them."""
    streamed = how != "whole"
    script = [speaker.answer(streamed, ["Let me see."], calls=CALLS), speaker.answer(streamed, ["3, rain, much."])]
    desk = await open_desk(speaker, script)
    client = await desk.client(caller)

    first = await getattr(caller, how)(client, caller.ask("Go.", system="Be kind.", tools=kit.tools))
    if how == "plain":
        first.message = (await _replay(open_desk, caller, speaker)).message
    found = {"call_a": "3", "call_b": "rain ☂", "call_c": "many"}
    results = [kit.result(call.id, [found[call.id]]) for call in reversed(first.calls)]
    second = await getattr(caller, how)(
        client, caller.ask("Go.", first, results, "And now?", system="Be kind.", tools=kit.tools)
    )

    assert second.text == "3, rain, much."
    wire = desk.upstream.requests[1].json
    heard = speaker.heard(wire)
    assert heard[:2] == [("system", ["Be kind."]), ("user", ["Go."])]
    kind, text, calls = heard[2]
    assert (kind, text) == ("assistant", "Let me see.")
    assert [(call.id, call.name) for call in calls] == [(call.id, call.name) for call in CALLS]
    assert [json.loads(call.arguments) for call in calls] == [json.loads(call.arguments) for call in CALLS]
    answered = [item for item in heard[3:] if item[0] == "result"]
    assert heard[3:] == [*answered, ("user", ["And now?"])]
    assert {call_id: text for _, call_id, text in answered} == found
    if caller.name != speaker.name:
        assert [call_id for _, call_id, _ in answered] == ["call_a", "call_b", "call_c"], "not in the calls' order"
    names = [tool.get("name") or tool["function"]["name"] for tool in wire["tools"]]
    assert names == ["add", "weather"]
    # What was said before is sent as it was, so that the provider's cache finds it.
    before, after = (request.json["messages"] for request in desk.upstream.requests)
    assert after[: len(before)] == before


async def _replay(open_desk: Any, caller: Any, speaker: Any) -> Any:
    """The same answer, as the helper of the SDK puts it together for sending back."""
    desk = await open_desk(speaker, [speaker.answer(False, ["Let me see."], calls=CALLS)])
    return await caller.whole(await desk.client(caller), caller.ask("Go."))


@pytest.mark.parametrize("how", ["whole", "helper"])
async def test_thoughts_go_back_to_whom_they_came_from(
    open_desk: Any, kit: Any, caller: Any, speaker: Any, how: str
) -> None:
    """A signed thought comes back to its maker unchanged and in place, whatever API the caller speaks. An upstream of
    Chat Completions that does not ask for earlier thoughts gets none."""
    call = [Call("add", '{"a":1,"b":2}', "call_a")]
    options: dict[str, Any] = {"reasoning": "I should add. ☃", "calls": call}
    script = [speaker.answer(how != "whole", ["Adding."], **options), speaker.answer(how != "whole", ["3"])]
    desk = await open_desk(speaker, script)
    client = await desk.client(caller)

    first = await getattr(caller, how)(client, caller.ask("1+2?", tools=kit.tools))
    assert first.thoughts == "I should add. ☃"
    assert [call.id for call in first.calls] == ["call_a"]
    await getattr(caller, how)(client, caller.ask("1+2?", first, [kit.result("call_a", ["3"])], tools=kit.tools))

    (assistant,) = [one for one in desk.upstream.requests[1].json["messages"] if one["role"] == "assistant"]
    if speaker.name == "messages":
        kinds = [block["type"] for block in assistant["content"]]
        assert kinds == ["thinking", "text", "tool_use"]
        thought = assistant["content"][0]
        assert (thought["thinking"], thought["signature"]) == ("I should add. ☃", "c2lnbmVkIGJ5IG5vYm9keQ==")
    elif caller.name == "messages":
        assert "I should add" not in json.dumps(assistant, ensure_ascii=False)
    else:
        assert assistant["reasoning_content"] == "I should add. ☃"


@pytest.mark.parametrize("next_one", ["chat", "messages"])
async def test_a_signature_of_the_gateway_s_own_stays_with_the_gateway(
    open_desk: Any, messages_caller: Any, speakers: Any, next_one: str
) -> None:
    """A chat provider's thoughts are signed by the gateway, because clients send back signed thoughts only. When the
    conversation moves on to a provider that checks signatures, the thought must be left out."""
    caller, speaker = messages_caller, speakers[next_one]
    chat = await open_desk(speakers["chat"], [speakers["chat"].answer(False, ["42"], reasoning="Hm.")])
    first = await caller.whole(await chat.client(caller), caller.ask("?"))
    assert first.message["content"][0]["signature"].startswith("asgi-llm.v1.")

    desk = await open_desk(speaker, [speaker.answer(False)])
    await caller.whole(await desk.client(caller), caller.ask("?", first, "Sure?"))
    (asked,) = desk.upstream.requests
    assert speaker.heard(asked.json)[1] == ("assistant", "42", [])
    assert b"asgi-llm.v1." not in asked.body


@pytest.mark.parametrize("picture", ["base64", "url"])
async def test_pictures_of_the_user(open_desk: Any, kit: Any, caller: Any, speaker: Any, picture: str) -> None:
    desk = await open_desk(speaker, [speaker.answer(False, ["A cat."])])
    given, expected = PICTURES[picture]
    asked = caller.ask(["What is", kit.picture(**given), "this?"])
    assert (await caller.whole(await desk.client(caller), asked)).text == "A cat."
    assert speaker.heard(desk.upstream.requests[0].json) == [("user", ["What is", expected, "this?"])]


@pytest.mark.parametrize("picture", ["base64", "url"])
async def test_pictures_in_a_tool_s_result(
    open_desk: Any, kit: Any, messages_caller: Any, speaker: Any, picture: str
) -> None:
    """Chat Completions has no place for them in a tool message; they follow in a user message, after all results."""
    caller = messages_caller
    given, expected = PICTURES[picture]
    desk = await open_desk(speaker, [speaker.answer(False, [], calls=CALLS[:2]), speaker.answer(False, ["A cat."])])
    client = await desk.client(caller)
    first = await caller.whole(client, caller.ask("Look.", tools=kit.tools))
    results = [
        kit.result("call_a", ["Here:", kit.picture(**given)]),
        kit.result("call_b", ["broken"], error=True),
    ]
    await caller.whole(client, caller.ask("Look.", first, [*results, "Well?"], tools=kit.tools))

    heard = speaker.heard(desk.upstream.requests[1].json)[2:]
    if speaker.name == "messages":
        expected_heard = [("result", "call_a", ["Here:", expected]), ("result", "call_b", "broken")]
        assert heard == [*expected_heard, ("user", ["Well?"])]
        return
    (kind, call_id, text), second, (role, shown), last = heard
    assert (kind, call_id, text.startswith("Here:")) == ("result", "call_a", True)
    assert second == ("result", "call_b", "Error: broken")
    assert (role, shown[-1], "call_a" in shown[0]) == ("user", expected, True)
    assert last == ("user", ["Well?"])


async def test_a_forced_tool(open_desk: Any, kit: Any, caller: Any, speaker: Any) -> None:
    desk = await open_desk(speaker, [speaker.answer(False, [], calls=CALLS[:1])])
    choices = {
        "chat": {"tool_choice": {"type": "function", "function": {"name": "add"}}, "parallel_tool_calls": False},
        "messages": {"tool_choice": {"type": "tool", "name": "add", "disable_parallel_tool_use": True}},
    }
    await caller.whole(await desk.client(caller), caller.ask("Go.", tools=kit.tools, **choices[caller.name]))
    wire = desk.upstream.requests[0].json
    assert {name: wire[name] for name in choices[speaker.name]} == choices[speaker.name]


async def test_a_name_longer_than_the_upstream_takes(
    open_desk: Any, kit: Any, messages_caller: Any, speakers: Any, how: str
) -> None:
    """A name of 128 characters is legal in Messages and too long for Chat Completions: the caller never notices."""
    caller, speaker = messages_caller, speakers["chat"]
    long = {**kit.tools[0], "name": "mcp__" + "x" * 123}
    desk = await open_desk(
        speaker,
        lambda request: speaker.answer(how != "whole", [], calls=[Call(_offered(request.json), "{}", "call_l")]),
    )
    client = await desk.client(caller)
    first = await getattr(caller, how)(client, caller.ask("Go.", tools=[long]))
    (call,) = first.calls
    assert call.name == long["name"]
    name = _offered(desk.upstream.requests[0].json)
    assert len(name) <= 64

    said = await caller.helper(client, caller.ask("Go.", tools=[long])) if how == "plain" else first
    await caller.open(client, caller.ask("Go.", said, [kit.result("call_l", ["1"])], tools=[long]))
    heard = speaker.heard(desk.upstream.requests[-1].json)
    assert heard[1] == ("assistant", "", [Call(name, "{}", "call_l")])


def _offered(wire: dict[str, Any]) -> str:
    (tool,) = wire["tools"]
    return str(tool["function"]["name"])
