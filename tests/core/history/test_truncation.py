"""A conversation that is too long for its model, where the request lets it be cut."""

import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.history.truncation import Truncation
from asgi_llm.testing import (
    Answer,
    Recorded,
    ScriptedUpstream,
    chat_error,
    chat_stream,
    chat_text,
    gemini_error,
    gemini_text,
    messages_error,
    messages_text,
    responses_error,
    responses_text,
)

TOO_LONG: dict[str, Any] = {
    "chat": lambda: chat_error(400, "This model's maximum context length is 9 tokens.", code="context_length_exceeded"),
    "messages": lambda: messages_error(400, "prompt is too long: 9999 tokens > 9 maximum"),
    "gemini": lambda: gemini_error(
        400, "The input token count (9999) exceeds the maximum number of tokens allowed (9)."
    ),
    "responses": lambda: responses_error(400, "Your input is too long.", code="context_length_exceeded"),
}
TEXT: dict[str, Any] = {
    "chat": chat_text, "messages": messages_text, "gemini": gemini_text, "responses": responses_text,
}  # fmt: skip


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{number}", "name": "f", "arguments": '{"a": "%s"}' % ("x" * 40)}


def result(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": "y" * 40}


def left(items: list[Any], cut: int, **more: Any) -> list[int]:
    """The places of the items that stay in the given cut; the last one if there are fewer."""
    truncation = Truncation([json.dumps(item).encode() for item in items], **more)
    cuts = truncation._cuts
    gone = cuts[min(cut, len(cuts) - 1)]
    return [place for place in range(len(items)) if place not in gone]


def test_whole_turns_go_and_the_system_stays() -> None:
    items = [{"role": "system", "content": "s"}]
    for number in range(8):
        items += [user("u" * 50), call(number), result(number), said("a" * 50)]
    items.append(user("now"))
    assert left(items, 0) == list(range(34))
    for cut in (1, 2, 3):
        stays = left(items, cut)
        assert stays[0] == 0
        assert items[stays[1]]["role"] == "user"
        assert stays[1:] == list(range(stays[1], 34))
    assert len(left(items, 1)) > len(left(items, 2)) > len(left(items, 3)) > 1


def test_of_the_only_turn_the_oldest_steps_go() -> None:
    items: list[Any] = [user("Do it.")]
    for number in range(0, 20, 2):
        items += [
            {"type": "reasoning", "summary": []},
            call(number),
            call(number + 1),
            result(number),
            result(number + 1),
        ]
    stays = left(items, 3)
    assert stays[0] == 0
    assert stays[-5:] == [46, 47, 48, 49, 50]
    assert items[stays[1]]["type"] == "reasoning"
    kept = [items[place] for place in stays[1:]]
    assert {item["call_id"] for item in kept if item["type"] == "function_call"} == {
        item["call_id"] for item in kept if item["type"] == "function_call_output"
    }


def test_what_cannot_be_parted_stays() -> None:
    only = [user("x" * 10_000)]
    assert left(only, 3) == [0]
    assert left([user("Do."), call(1), result(1)], 3) == [0, 1, 2]


def test_a_result_goes_with_its_call_wherever_it_stands() -> None:
    items = [user("a" * 500), call(1), user("b" * 500), result(1), said("c")]
    assert left(items, 1) == [2, 4]
    # The beginning is missing: what it called is not known any more.
    assert left([result(7), user("x"), call(8), result(8)], 0, orphans=True) == [1, 2, 3]


def test_a_conversation_that_grows_is_cut_in_the_same_place_for_a_while() -> None:
    items: list[Any] = []
    begins = []
    for number in range(120):
        items += [user(f"question {number:03}" + "q" * 80), said("answer" + "a" * 80)]
        if number >= 20:
            begins.append(left(items, 1)[0])
    assert begins == sorted(begins)
    assert len(set(begins)) < len(begins) / 5


def limited(dialect: str, most: int) -> Any:
    """An upstream whose model takes bodies of so many bytes."""

    def answer(request: Recorded) -> Answer:
        if len(request.body) > most:
            return TOO_LONG[dialect]()
        if request.json.get("stream"):
            return chat_stream(["OK."])
        return TEXT[dialect]("OK.")

    return answer


@pytest.mark.parametrize("dialect", ["chat", "messages", "gemini"])
async def test_too_long_for_the_model(open_client: Any, dialect: str) -> None:
    async with ScriptedUpstream(limited(dialect, 3000)) as upstream:
        client = await open_client(upstream, dialect)
        name, answers = None, []
        for number in range(12):
            answer = await client.say(
                f"question {number} " + "x" * 500, previous_response_id=name, truncation="auto", instructions="Be kind."
            )
            assert answer.status == 200, answer.body
            assert (answer.json["truncation"], answer.text) == ("auto", "OK.")
            name = answer.json["id"]
            answers.append(answer)
        assert "x-llm-warnings" not in answers[0].headers
        assert answers[-1].headers["x-llm-warnings"] == "truncation;cut"
        last = upstream.requests[-1].body.decode()
        assert "question 11" in last
        assert "Be kind." in last
        assert "question 0 " not in last
        # What is kept is the whole, whatever the model was told.
        listed = (await client("GET", f"/v1/responses/{name}/input_items?order=asc&limit=1")).json["data"]
        assert "question 0 " in json.dumps(listed)


@pytest.mark.parametrize("truncation", [None, "disabled"])
@pytest.mark.parametrize("dialect", list(TEXT))
async def test_where_it_is_disabled_the_caller_is_told(open_client: Any, dialect: str, truncation: Any) -> None:
    async with ScriptedUpstream(limited(dialect, 500)) as upstream:
        client = await open_client(upstream, dialect)
        answer = await client.say([user("x" * 600), said("a"), user("b")], truncation=truncation)
        assert (answer.status, answer.code) == (400, "context_length_exceeded")
        assert len(upstream.requests) == 1


async def test_it_is_asked_a_few_times_only(open_client: Any) -> None:
    async with ScriptedUpstream(lambda _request: TOO_LONG["chat"]()) as upstream:
        client = await open_client(upstream)
        turns = [item for number in range(40) for item in (user(f"question {number}"), said("a"))]
        answer = await client.say([*turns, user("b")], truncation="auto")
        assert (answer.status, answer.code) == (400, "context_length_exceeded")
        assert len(upstream.requests) == 4
        sizes = [len(request.body) for request in upstream.requests]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("stateful", [True, False])
@pytest.mark.parametrize("stream", [True, False])
async def test_streams_and_without_state(open_client: Any, stateful: bool, stream: bool) -> None:
    async with ScriptedUpstream(limited("chat", 1500)) as upstream:
        client = await open_client(upstream, stateful=stateful)
        turns = [item for number in range(10) for item in (user(f"question {number}" + "x" * 200), said("a"))]
        answer = await client.say([*turns, user("b")], truncation="auto", stream=stream)
        assert answer.status == 200
        assert (answer.json["truncation"], answer.text) == ("auto", "OK.")
        assert "truncation;cut" in answer.headers["x-llm-warnings"]
        assert "question 0x" not in upstream.requests[-1].body.decode()


async def test_a_known_window_is_kept_to_at_once(stack: Any, open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("OK.")) as upstream:
        target = {
            "provider": "openai_compatible",
            "base_url": f"{upstream.url}/v1",
            "context_windows": {"small-*": 1000, "*": 100_000},
        }
        gateway = Gateway({"targets": {"up": target}, "responses": {"stateful": True}})
        await stack.enter_async_context(gateway.running())
        client = open_client.client(gateway)
        turns = [item for number in range(10) for item in (user(f"question {number}" + "x" * 600), said("a"))]
        for model, whole in (("small-1", False), ("large-1", True)):
            answer = await client.say([*turns, user("b")], model=model, truncation="auto", max_output_tokens=100)
            assert ("x-llm-warnings" in answer.headers) != whole
            assert ("question 0x" in upstream.requests[-1].body.decode()) == whole
        assert len(upstream.requests) == 2
        assert len(upstream.requests[0].body) < 4 * 900


async def test_a_larger_model_is_asked_before_anything_is_cut(stack: Any, open_client: Any) -> None:
    async with ScriptedUpstream(limited("chat", 500)) as small, ScriptedUpstream(chat_text("Large.")) as large:
        targets = {
            name: {"provider": "openai_compatible", "base_url": f"{up.url}/v1"}
            for name, up in (("small", small), ("large", large))
        }
        routes = [{"model": "*", "target": "small", "fallback": [{"target": "large", "on": "overflow"}]}]
        gateway = Gateway({"targets": targets, "routes": routes, "responses": {"stateful": True}})
        await stack.enter_async_context(gateway.running())
        answer = await open_client.client(gateway).say([user("x" * 600), said("a"), user("b")], truncation="auto")
        assert answer.text == "Large."
        assert (len(small.requests), len(large.requests)) == (1, 1)
        assert "x" * 600 in large.requests[0].body.decode()


async def test_openai_does_it_itself(open_client: Any) -> None:
    async with ScriptedUpstream(responses_text("OK.")) as upstream:
        client = await open_client(upstream, "responses")
        await client.say("x", truncation="auto")
        assert upstream.requests[0].json["truncation"] == "auto"


@pytest.mark.parametrize("limit", [{"max_turns": 3}, {"max_history": 5000}])
async def test_what_is_kept_is_longer_than_is_taken_up_again(
    open_client: Any, store_url: str, limit: dict[str, int]
) -> None:
    async with ScriptedUpstream(chat_text("OK.")) as upstream:
        client = await open_client(upstream, store=store_url, **limit)
        conversation = (await client("POST", "/v1/conversations", {})).json["id"]
        name = None
        for number in range(5):
            asked = {"truncation": "auto", "previous_response_id": name}
            answer = await client.say(f"question {number} " + "x" * 500, **asked)
            assert answer.status == 200, answer.body
            name = answer.json["id"]
            await client.say("y" * 900, conversation=conversation, truncation="auto")
        assert "truncation;cut" in answer.headers["x-llm-warnings"]
        told = upstream.requests[-2].body.decode()
        assert "question 4" in told
        assert "question 0" not in told
        refused = await client.say("And?", previous_response_id=name)
        assert (refused.status, refused.code) == (400, "context_length_exceeded")
        if "max_history" in limit:
            refused = await client.say("And?", conversation=conversation)
            assert (refused.status, refused.code) == (400, "context_length_exceeded")
            assert (await client.say("And?", conversation=conversation, truncation="auto")).status == 200
