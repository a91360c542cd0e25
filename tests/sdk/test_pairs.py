"""Every official SDK with every upstream: sixteen pairs, four of them without translation."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm.testing import Answer, Call, Reset, Stall, Tokens
from asgi_llm.testing.patience import within

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SHOWN = f"data:image/png;base64,{PNG}"
CALLS = [
    Call("add", '{"a":1,"b":2.5}', "call_a"),
    Call("weather", '{"city":"Tromsø \\"☃\\""}', "call_b"),
    Call("add", '{"a":3,"b":0}', "call_c"),
]
THINKER = "gemini-3-flash-preview"
"""A model whose name says to each dialect that looks for it that thoughts are signed and results may hold pictures."""
ways = pytest.mark.parametrize("way", ["whole", "plain", "helper"])


@ways
async def test_text(open_desk: Any, any_caller: Any, any_speaker: Any, way: str) -> None:
    caller, speaker = any_caller, any_speaker
    pieces = ["Hel", "lo ", "wörld ☃ \U0001f600\u2028", "\n\n{}"]
    tokens = Tokens(input=100, output=50, cached=30, reasoning=20 if speaker.name != "messages" else 0)
    desk = await open_desk(speaker, [speaker.answer(way != "whole", pieces, tokens=tokens, split=5)])

    said = await getattr(caller, way)(await desk.client(caller), caller.ask("Say hello.", system="Be kind."))

    assert (said.text, said.calls, said.thoughts) == ("".join(pieces), [], "")
    assert said.finish == caller.finishes["end"]
    assert said.usage == tokens
    (asked,) = desk.upstream.requests
    assert speaker.heard(asked.json) == [("system", ["Be kind."]), ("user", ["Say hello."])]
    names = ("authorization", "x-api-key", "x-goog-api-key")
    assert [key.split()[-1] for name in names if (key := asked.header(name))] == ["sk-provider"]
    assert "sk-caller" not in str(asked.headers)
    exchange = await desk.ended()
    assert (exchange.outcome, exchange.usage.input, exchange.usage.output) == ("ok", 100, 50)


@ways
async def test_a_round_of_parallel_tools(open_desk: Any, kit: Any, any_caller: Any, any_speaker: Any, way: str) -> None:
    caller, speaker, streamed = any_caller, any_speaker, way != "whole"
    way_back = "whole" if way == "plain" and caller.name in ("chat", "messages") else way
    script = [
        speaker.answer(streamed and way_back != "whole", ["Let me see."], calls=CALLS, split=7),
        speaker.answer(streamed, ["3.5, rain, 3."]),
    ]
    desk = await open_desk(speaker, script)
    client = await desk.client(caller)

    first = await getattr(caller, way_back)(client, caller.ask("Go.", tools=kit.tools))
    assert first.text == "Let me see."
    assert [(call.id, call.name, json.loads(call.arguments)) for call in first.calls] == [
        (call.id, call.name, json.loads(call.arguments)) for call in CALLS
    ]
    assert first.finish == caller.finishes["tools"]
    found = {"call_a": "3.5", "call_b": "rain ☂", "call_c": "3"}
    results = [kit.result(call.id, [found[call.id]]) for call in first.calls]
    second = await getattr(caller, way)(client, caller.ask("Go.", first, results, tools=kit.tools))

    assert second.text == "3.5, rain, 3."
    before, after = (request.json for request in desk.upstream.requests)
    heard = speaker.heard(after)
    assert heard[0] == ("user", ["Go."])
    spoken = [item for item in heard[1:] if item[0] == "assistant"]
    assert "".join(text for _, text, _ in spoken) == "Let me see."
    called = [call for _, _, calls in spoken for call in calls]
    assert [(call.id, call.name, json.loads(call.arguments)) for call in called] == [
        (call.id, call.name, json.loads(call.arguments)) for call in CALLS
    ]
    assert [item[1:] for item in heard if item[0] == "result"] == list(found.items())
    assert speaker.tools(after) == ["add", "weather"]
    # What was said before is sent as it was, so that the provider's cache finds it.
    assert after[speaker.history][: len(before[speaker.history])] == before[speaker.history]


@pytest.mark.parametrize("way", ["whole", "helper"])
async def test_signed_thoughts_over_two_turns(
    open_desk: Any, kit: Any, any_caller: Any, any_speaker: Any, way: str
) -> None:
    """A proof comes back to its maker unchanged and in place, whatever API the caller speaks, and its like is never
    made up for a maker who checks."""
    caller, speaker = any_caller, any_speaker
    call = [Call("add", '{"a":1,"b":2}', "call_a")]
    script = [
        speaker.answer(way != "whole", [], reasoning="I should add. ☃", calls=call),
        speaker.answer(way != "whole", ["3"]),
    ]
    desk = await open_desk(speaker, script)
    client = await desk.client(caller)

    first = await getattr(caller, way)(client, caller.ask("1+2?", tools=kit.tools, model=THINKER))
    assert first.thoughts == "I should add. ☃"
    result = [kit.result("call_a", ["3"])]
    second = await getattr(caller, way)(client, caller.ask("1+2?", first, result, tools=kit.tools, model=THINKER))

    assert second.text == "3"
    assert speaker.proofs(desk.upstream.requests[1].json) == ([speaker.signature] if speaker.signature else [])
    assert b"asgi-llm.v1." not in desk.upstream.requests[1].body or caller.name == speaker.name


async def test_a_picture_of_the_user(open_desk: Any, kit: Any, any_caller: Any, any_speaker: Any) -> None:
    caller, speaker = any_caller, any_speaker
    desk = await open_desk(speaker, [speaker.answer(False, ["A dot."])])
    asked = caller.ask(["What is", kit.picture(data=PNG), "this?"])
    assert (await caller.whole(await desk.client(caller), asked)).text == "A dot."
    assert speaker.heard(desk.upstream.requests[0].json) == [("user", ["What is", SHOWN, "this?"])]


async def test_a_picture_in_a_result(open_desk: Any, kit: Any, any_caller: Any, any_speaker: Any) -> None:
    """In its place where the upstream has one, else in a user turn behind the results; what a caller of its own dialect
    wrote is passed on as it is."""
    caller, speaker = any_caller, any_speaker
    desk = await open_desk(speaker, [speaker.answer(False, [], calls=CALLS[:2]), speaker.answer(False, ["A dot."])])
    client = await desk.client(caller)
    first = await caller.whole(client, caller.ask("Look.", tools=kit.tools, model=THINKER))
    results = [kit.result("call_a", ["Here:", kit.picture(data=PNG)]), kit.result("call_b", ["rain"])]
    said = await caller.whole(client, caller.ask("Look.", first, results, tools=kit.tools, model=THINKER))

    assert said.text == "A dot."
    heard = [item for item in speaker.heard(desk.upstream.requests[1].json)[1:] if item[0] != "assistant"]
    if caller.name == speaker.name == "chat":
        url = {"type": "image_url", "image_url": {"url": SHOWN}}
        assert heard == [("result", "call_a", [{"type": "text", "text": "Here:"}, url]), ("result", "call_b", "rain")]
    elif speaker.name == "chat":
        (_, first_id, text), second, (role, shown) = heard
        assert (first_id, text.startswith("Here:"), role, shown[-1]) == ("call_a", True, "user", SHOWN)
        assert second == ("result", "call_b", "rain")
    else:
        assert heard == [("result", "call_a", ["Here:", SHOWN]), ("result", "call_b", "rain")]


@pytest.mark.parametrize("way", ["whole", "helper"])
async def test_structured_output(open_desk: Any, any_caller: Any, any_speaker: Any, way: str) -> None:
    caller, speaker = any_caller, any_speaker
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "size": {"type": "integer"}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    desk = await open_desk(speaker, [speaker.answer(way != "whole", ['{"city":', ' "Oslo", "size": 7}'])])
    asked = caller.ask("?", model="claude-opus-4-6", **caller.formatted(schema))
    said = await getattr(caller, way)(await desk.client(caller), asked)
    assert json.loads(said.text) == {"city": "Oslo", "size": 7}
    assert speaker.schema(desk.upstream.requests[0].json) == schema


OPENAI = {
    400: (400, "BadRequestError"),
    401: (503, "InternalServerError"),
    404: (404, "NotFoundError"),
    429: (429, "RateLimitError"),
    500: (500, "InternalServerError"),
    529: (503, "InternalServerError"),
}
ERRORS = {
    "chat": OPENAI,
    "responses": OPENAI,
    "messages": {**OPENAI, 401: (529, "OverloadedError"), 529: (529, "OverloadedError")},
    "gemini": {
        400: (400, "ClientError"),
        401: (503, "ServerError"),
        404: (404, "ClientError"),
        429: (429, "ClientError"),
        500: (500, "ServerError"),
        529: (503, "ServerError"),
    },
}
"""By what the upstream said: the status and the exception that callers get."""


@pytest.mark.parametrize("status", OPENAI)
async def test_errors_of_the_provider(open_desk: Any, any_caller: Any, any_speaker: Any, status: int) -> None:
    caller, speaker = any_caller, any_speaker
    error = speaker.error(status, "No, not so.", {"retry-after": "7"})
    desk = await open_desk(speaker, [error, error], retry={"cooldown": 0})  # so that it is asked the second time, too
    client = await desk.client(caller)
    expected, name = ERRORS[caller.name][status]
    if (caller.name, speaker.name, status) == ("chat", "chat", 529):
        expected = 529  # the provider's own words, passed on as they are

    for way in ("whole", "helper"):
        with pytest.raises(caller.failures) as caught:
            await getattr(caller, way)(client, caller.ask("?"))
        failed = caller.failed(caught.value)
        assert (failed.name, failed.status, failed.retry_after) == (name, expected, "7")
        assert ("No, not so." in failed.message) is (status != 401)
        assert "sk-provider" not in str(caught.value)
        exchange = await desk.ended()
        assert (exchange.outcome, exchange.status) == ("upstream_error", expected)


async def test_a_stream_that_breaks_off(open_desk: Any, any_caller: Any, any_speaker: Any) -> None:
    """What was said is there, and then an exception: it does not look like a whole answer."""
    caller, speaker = any_caller, any_speaker
    desk = await open_desk(speaker, [Answer.raw([*_up_to(b"Hel", speaker.answer(True)), Reset()])])
    stream = await caller.open(await desk.client(caller), caller.ask("?"))
    seen: list[str] = []

    async def read() -> None:
        async for event in stream:
            seen.append(str(event))  # noqa: PERF401  what came before the error counts

    if caller.name == "responses":
        await read()  # an event says it, and the SDK leaves it to its user to look
        assert "ResponseFailedEvent" in seen[-1]
    else:
        with pytest.raises(caller.failures):
            await read()
    assert "Hel" in "".join(seen)
    assert (await desk.ended()).outcome == "interrupted"


def _up_to(words: bytes, answer: Answer) -> list[Any]:
    last = next(index for index, step in enumerate(answer.steps) if isinstance(step, bytes) and words in step)
    return list(answer.steps[: last + 1])


async def test_the_sdk_s_own_time_out(open_desk: Any, any_caller: Any, any_speaker: Any) -> None:
    caller = any_caller
    desk = await open_desk(any_speaker, [Answer.silence()])
    with pytest.raises(caller.failures) as caught:
        await caller.whole(await desk.client(caller, timeout=0.5), caller.ask("?"))
    assert type(caught.value).__name__ == caller.time_out
    await (await desk.upstream.wait_request()).wait_disconnected()
    assert (await desk.ended()).outcome == "disconnected"


async def test_the_gateway_s_time_out(open_desk: Any, any_caller: Any, any_speaker: Any) -> None:
    caller = any_caller
    desk = await open_desk(any_speaker, [Answer.silence()], timeouts={"first_byte": 0.1, "answer": 0.1})
    with pytest.raises(caller.failures) as caught:
        await caller.whole(await desk.client(caller), caller.ask("?"))
    assert caller.failed(caught.value).status == 504
    await (await desk.upstream.wait_request()).wait_disconnected()


@pytest.mark.parametrize("moment", ["before", "midway"])
async def test_leaving(open_desk: Any, any_caller: Any, any_speaker: Any, moment: str) -> None:
    """The provider is told to stop, and the exchange is settled once."""
    caller, speaker = any_caller, any_speaker
    answer = Answer.raw([*_up_to(b"Hel", speaker.answer(True)), Stall()])
    desk = await open_desk(speaker, [answer if moment == "midway" else Answer.silence()])
    client, begun = await desk.client(caller), asyncio.Event()

    async def read() -> None:
        async for event in await caller.open(client, caller.ask("?")):
            if "Hel" in str(event):
                begun.set()

    reading = asyncio.create_task(read())
    request = await desk.upstream.wait_request()
    if moment == "midway":
        await within(begun.wait(), 60, "the beginning of the stream")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await request.wait_disconnected()
    assert (await desk.ended()).outcome == "disconnected"
    assert desk.settled.empty()


async def test_the_list_of_models(open_desk: Any, any_caller: Any, any_speaker: Any) -> None:
    """What the upstream has and the settings name, in the caller's own shape; one of them; one that is not there."""
    caller, speaker = any_caller, any_speaker
    desk = await open_desk(speaker, lambda _: speaker.listing("one", "org/two"), models={"nice": "one"})
    client = await desk.client(caller)
    assert await caller.models(client) == ["nice", "one", "org/two"]
    assert await caller.model(client, "nice") == "nice"
    with pytest.raises(caller.failures) as caught:
        await caller.model(client, "three")
    assert caller.failed(caught.value).status == 404


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_the_versions_of_gemini_s_paths(open_desk: Any, speakers: Any, gemini_caller: Any, version: str) -> None:
    speaker = speakers["chat"]
    desk = await open_desk(speaker, [speaker.answer(False), speaker.answer(True)])
    client = await desk.client(gemini_caller, version=version)
    assert (await gemini_caller.whole(client, gemini_caller.ask("?"))).text == "Hello!"
    assert (await gemini_caller.plain(client, gemini_caller.ask("?"))).text == "Hello!"
