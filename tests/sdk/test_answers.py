"""What an answer is to the user of an SDK: text, thoughts, calls, why it ended, what it used."""

import json
from typing import Any

import pytest

from asgi_llm.testing import Call, Tokens

CALLS = [
    Call("add", '{"a":1,"b":2.5}', "call_a"),
    Call("weather", '{"city":"Tromsø \\"☃\\" \\\\ {}"}', "call_b"),
    Call("weather", '{"city":""}', "call_c"),
]
FINISHES = {
    "chat": {"end": "stop", "max_tokens": "length", "stop_sequence": "stop", "refusal": "content_filter"},
    "messages": {"end": "end_turn", "max_tokens": "max_tokens", "refusal": "refusal"},
}


async def test_text(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    pieces = ["Hel", "lo ", "wörld ☃ \U0001f600\u2028", "\n\n{}"]
    desk = await open_desk(speaker, [speaker.answer(how != "whole", pieces)])
    client = await desk.client(caller)

    said = await getattr(caller, how)(client, caller.ask("Say hello.", system="Be kind."))

    assert (said.text, said.calls, said.thoughts) == ("".join(pieces), [], "")
    assert said.finish == FINISHES[caller.name]["end"]
    (asked,) = desk.upstream.requests
    assert speaker.heard(asked.json) == [("system", ["Be kind."]), ("user", ["Say hello."])]
    assert (asked.header("authorization") or asked.header("x-api-key") or "").endswith("sk-provider")
    assert "sk-caller" not in str(asked.headers)
    assert (await desk.ended()).outcome == "ok"


@pytest.mark.parametrize("split", [0, 1, 3, 7, 64])
async def test_parallel_calls(open_desk: Any, kit: Any, caller: Any, speaker: Any, how: str, split: int) -> None:
    """Ids, names, order and arguments arrive as the model said them, wherever the network cuts the bytes."""
    desk = await open_desk(speaker, [speaker.answer(how != "whole", ["Let me see."], calls=CALLS, split=split)])
    client = await desk.client(caller)

    said = await getattr(caller, how)(client, caller.ask("Go.", tools=kit.tools))

    assert said.text == "Let me see."
    assert [(call.id, call.name, json.loads(call.arguments)) for call in said.calls] == [
        (call.id, call.name, json.loads(call.arguments)) for call in CALLS
    ]
    assert said.finish == {"chat": "tool_calls", "messages": "tool_use"}[caller.name]


@pytest.mark.parametrize("arguments", ["{}", ""])
async def test_a_call_without_arguments(
    open_desk: Any, kit: Any, caller: Any, speaker: Any, how: str, arguments: str
) -> None:
    """A model that says nothing for arguments is heard as saying ``{}``: the SDKs parse what they are given."""
    if not arguments and caller.name == speaker.name == "chat":
        return  # the provider's own words, passed on as they are
    desk = await open_desk(speaker, [speaker.answer(how != "whole", [], calls=[Call("add", arguments, "call_x")])])
    said = await getattr(caller, how)(await desk.client(caller), caller.ask("Go.", tools=kit.tools))
    (call,) = said.calls
    assert (call.name, call.id, said.text) == ("add", "call_x", "")
    assert call.arguments == "{}"


async def test_thoughts(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    desk = await open_desk(speaker, [speaker.answer(how != "whole", ["42."], reasoning="Six times seven.\nYes.")])
    said = await getattr(caller, how)(await desk.client(caller), caller.ask("?"))
    assert (said.thoughts, said.text) == ("Six times seven.\nYes.", "42.")


@pytest.mark.parametrize("finish", ["end", "max_tokens", "stop_sequence", "refusal"])
async def test_why_it_ended(open_desk: Any, kit: Any, caller: Any, speaker: Any, how: str, finish: str) -> None:
    desk = await open_desk(speaker, [speaker.answer(how != "whole", ["So"], finish=finish)])
    client = await desk.client(caller)
    stop = {"stop": ["END"]} if caller.name == "chat" else {"stop_sequences": ["END"]}
    asked = caller.ask("?", **stop)
    if caller.name == "chat" and how == "helper" and finish in ("max_tokens", "refusal"):
        error = "LengthFinishReasonError" if finish == "max_tokens" else "ContentFilterFinishReasonError"
        with pytest.raises(getattr(caller.sdk, error)):
            await caller.helper(client, {**asked, **caller.ask("?", tools=kit.tools)})
        return

    said = await getattr(caller, how)(client, asked)

    # Chat Completions cannot tell a natural end from a stop sequence.
    told = "end" if finish == "stop_sequence" and "chat" in (caller.name, speaker.name) else finish
    assert said.finish == (FINISHES[caller.name].get(told) or told)
    wire = desk.upstream.requests[0].json
    assert (wire.get("stop") or wire.get("stop_sequences")) == ["END"]


async def test_usage_adds_up(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    tokens = Tokens(input=1000, output=200, cached=600, written=150, reasoning=120)
    desk = await open_desk(speaker, [speaker.answer(how != "whole", tokens=tokens)])
    said = await getattr(caller, how)(await desk.client(caller), caller.ask("?"))
    assert said.usage == tokens

    usage = (await desk.ended()).usage
    assert usage is not None
    assert (usage.fresh, usage.cache_read, usage.written, usage.visible, usage.reasoning) == (250, 600, 150, 80, 120)


async def test_a_stream_without_usage_asked_for(open_desk: Any, caller: Any, speaker: Any) -> None:
    """The gateway asks for usage on its own account and keeps it to itself where the caller did not."""
    desk = await open_desk(speaker, [speaker.answer(True, tokens=Tokens(input=7, output=3))])
    stream = await caller.open(await desk.client(caller), caller.ask("?"))
    events = [event async for event in stream]
    if caller.name == "chat":
        assert all(chunk.choices and chunk.usage is None for chunk in events)
    else:
        assert events[-2].usage.output_tokens == 3
    usage = (await desk.ended()).usage
    assert (usage.fresh, usage.visible) == (7, 3)


async def test_the_caller_s_name_of_the_model(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    desk = await open_desk(speaker, [speaker.answer(how != "whole", model="upstream-1")], models={"m": "upstream-1"})
    said = await getattr(caller, how)(await desk.client(caller), caller.ask("?"))
    assert said.model == "m"
    assert desk.upstream.requests[0].json["model"] == "upstream-1"


@pytest.mark.parametrize("host", ["fastapi", "middleware", "bare"])
async def test_every_way_of_hosting(open_desk: Any, caller: Any, speaker: Any, host: str) -> None:
    desk = await open_desk(speaker, [speaker.answer(False), speaker.answer(True)], host=host)
    client = await desk.client(caller)
    whole, streamed = await caller.whole(client, caller.ask("?")), await caller.helper(client, caller.ask("?"))
    assert (whole.text, streamed.text) == ("Hello!", "Hello!")
    assert (whole.finish, whole.usage) == (streamed.finish, streamed.usage)
