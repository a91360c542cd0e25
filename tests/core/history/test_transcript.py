"""What an upstream is told of a conversation: all of it, in order, and each time a continuation of the time before."""

import base64
import json
from itertools import pairwise
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import (
    Answer,
    Call,
    Recorded,
    ScriptedUpstream,
    chat_completion,
    chat_text,
    gemini_response,
    messages_message,
    messages_text,
    responses_response,
    responses_text,
)

DIALECTS = ["chat", "responses", "messages", "gemini"]
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"n": {"type": "number"}}}}
TURNS = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}


def thinking(dialect: str, number: int, call: Call) -> Answer:
    """An answer that thinks, proves it in its provider's way, and calls a tool."""
    proof = base64.b64encode(f"proof-{dialect}-{number}".encode()).decode()
    match dialect:
        case "chat":
            return Answer.json(chat_completion("", calls=[call], reasoning=f"thought {number}"))
        case "messages":
            message = messages_message("", calls=[call], reasoning=f"thought {number}")
            for block in message["content"]:
                if block["type"] == "thinking":
                    block["signature"] = proof
            return Answer.json(message)
        case "gemini":
            answer = gemini_response("", calls=[call])
            for part in answer["candidates"][0]["content"]["parts"]:
                if "functionCall" in part:
                    part["thoughtSignature"] = proof
            return Answer.json(answer)
    answer = responses_response("", calls=[call], reasoning=f"thought {number}")
    for item in answer["output"]:
        item["id"] += f"_{number}"
        if item["type"] == "reasoning":
            item["encrypted_content"] = proof
    return Answer.json(answer)


async def test_thirty_turns_over_four_dialects_keep_their_meaning_and_their_prefix(stack: Any, Client: Any) -> None:  # noqa: N803
    asked: dict[str, list[Recorded]] = {name: [] for name in DIALECTS}
    ups: dict[str, ScriptedUpstream] = {}
    number = 0
    for name in DIALECTS:

        def answer(request: Recorded, name: str = name) -> Answer:
            asked[name].append(request)
            return thinking(name, number, Call("add", json.dumps({"n": number}), f"call_{number}"))

        ups[name] = await stack.enter_async_context(ScriptedUpstream(answer))
    providers = {"chat": "deepseek", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}
    targets = {
        name: {
            "provider": providers[name],
            "base_url": f"{ups[name].url}/v1" if name != "gemini" else f"{ups[name].url}/v1beta",
            "api_key": "sk-up",
            "dialects": [name],
        }
        for name in DIALECTS
    }
    routes = [{"model": f"{name}-*", "target": name} for name in DIALECTS]
    gateway = Gateway({"targets": targets, "routes": routes, "responses": {"stateful": True}})
    await stack.enter_async_context(gateway.running())
    client = Client(gateway)
    name, calls = None, []
    for number in range(30):
        dialect = DIALECTS[number % 4]
        said: list[Any] = [
            {"type": "function_call_output", "call_id": call_id, "output": f"result {number - 1}"} for call_id in calls
        ]
        said.append({"role": "user", "content": f"question {number}"})
        answer = await client.say(said, model=f"{dialect}-1", tools=[TOOL], previous_response_id=name)
        assert answer.status == 200, answer.body
        name = answer.json["id"]
        calls = [item["call_id"] for item in answer.json["output"] if item["type"] == "function_call"]
        assert len(calls) == 1

    for dialect, requests in asked.items():
        assert len(requests) in (7, 8)
        bodies = [request.json[TURNS[dialect]] for request in requests]
        for before, after in pairwise(bodies):
            assert after[: len(before)] == before, dialect
        last, reached = json.dumps(bodies[-1]), 4 * (len(bodies) - 1) + DIALECTS.index(dialect)
        for turn in range(reached):
            assert f"question {turn}" in last
            assert f"result {turn}" in last
            proof = base64.b64encode(f"proof-{DIALECTS[turn % 4]}-{turn}".encode()).decode()
            own = DIALECTS[turn % 4] == dialect and dialect != "chat"
            assert (proof in last) == own, (dialect, turn)
        assert "No result" not in last


@pytest.fixture(name="Client")
def client_class(open_client: Any) -> Any:
    """The class of clients, for a gateway of the test's own."""
    return open_client.client


async def test_thoughts_of_another_model_are_left_out_with_a_warning(open_client: Any) -> None:
    first = thinking("messages", 1, Call("add", "{}", "call_1"))
    async with ScriptedUpstream([first, messages_text("One."), messages_text("Two.")]) as upstream:
        client = await open_client(upstream, "messages")
        name = (await client.say("Go.", tools=[TOOL])).json["id"]
        result = [{"type": "function_call_output", "call_id": "call_1", "output": "1"}]
        same = await client.say(result, previous_response_id=name, tools=[TOOL])
        other = await client.say(result, previous_response_id=name, tools=[TOOL], model="n")
        proof = base64.b64encode(b"proof-messages-1")
        assert proof in upstream.requests[1].body
        assert "x-llm-warnings" not in same.headers
        assert proof not in upstream.requests[2].body
        assert "reasoning;warn" in other.headers["x-llm-warnings"]


async def test_an_upstream_of_the_same_dialect_is_told_the_items_as_they_were(open_client: Any) -> None:
    made = responses_response("Hm.", reasoning="So.")
    made["output"][0]["encrypted_content"] = "gAAAproof"
    made["output"][1]["content"][0]["annotations"] = [{"type": "file_path", "x": 1.10}]
    async with ScriptedUpstream([Answer.json(made), responses_text("Ho.")]) as upstream:
        client = await open_client(upstream, "responses")
        odd = {"role": "user", "content": [{"type": "input_text", "text": "é"}], "x_unknown": 1e2}
        name = (await client.say([odd], instructions="Be odd.")).json["id"]
        await client.say("And?", previous_response_id=name, include=["message.output_text.logprobs"])
        first, second = (request.json for request in upstream.requests)
        assert first["input"] == [odd]
        assert second["input"][:3] == [odd, *made["output"]]
        assert "instructions" not in second
        assert (first["store"], second["store"]) == (False, False)
        assert second["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]
        assert b"1.1" in upstream.requests[1].body


async def test_references_to_items(open_client: Any, store_url: str) -> None:
    async with ScriptedUpstream([chat_text(text) for text in ("Blue.", "Yes.", "No.")]) as upstream:
        client = await open_client(upstream, store=store_url)
        first = (await client.say("Which colour?")).json
        (said,) = first["output"]
        (asked,) = (await client("GET", f"/v1/responses/{first['id']}/input_items")).json["data"]
        both = [{"type": "item_reference", "id": asked["id"]}, {"type": "item_reference", "id": said["id"]}]
        await client.say([*both, {"role": "user", "content": "Sure?"}])
        told = [message["content"] for message in upstream.requests[1].json["messages"]]
        assert told == ["Which colour?", "Blue.", "Sure?"]
        await client.say([both[1], {"role": "user", "content": "Sure?"}], previous_response_id=first["id"])
        told = [message["content"] for message in upstream.requests[2].json["messages"]]
        assert told == ["Which colour?", "Blue.", "Sure?"]
        gone = await client.say([{"type": "item_reference", "id": "msg_0"}])
        assert (gone.status, gone.code, gone.json["error"]["param"]) == (404, "item_not_found", "input[0]")


async def test_a_stored_prompt_is_openais_own(open_client: Any) -> None:
    async with ScriptedUpstream(responses_text("Hi.")) as upstream:
        native, foreign = await open_client(upstream, "responses"), await open_client(upstream, "chat")
        assert (await native.say("x", prompt={"id": "pmpt_1"})).status == 200
        alone = {"model": "m", "prompt": {"id": "pmpt_1"}}
        assert (await native("POST", "/v1/responses", alone)).status == 200
        assert "input" not in upstream.requests[1].json
        refused = await foreign.say("x", prompt={"id": "pmpt_1"})
        assert (refused.status, refused.json["error"]["param"]) == (400, "prompt")


async def test_counting_counts_what_it_builds_upon(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("word " * 500)) as upstream:
        client = await open_client(upstream)
        name = (await client.say("Hello.")).json["id"]
        counts = []
        for more in ({}, {"previous_response_id": name}):
            answer = await client("POST", "/v1/responses/input_tokens", {"model": "m", "input": "And?", **more})
            assert answer.status == 200
            counts.append(answer.json["input_tokens"])
        assert counts[1] > counts[0] + 300


async def test_what_is_not_to_be_kept_passes_byte_for_byte(open_client: Any) -> None:
    made = responses_response("Hi.", id="resp_theirs")
    async with ScriptedUpstream(Answer.json(made)) as upstream:
        client = await open_client(upstream, "responses")
        answer = await client.say("Hello.", store=False)
        assert answer.json == made
        assert upstream.requests[0].json == {"model": "m", "input": "Hello.", "store": False}


async def test_a_kept_stream_is_told_again(open_client: Any) -> None:
    call = Call("add", '{"n":1}', "call_1")
    async with ScriptedUpstream(Answer.json(chat_completion("Well.", calls=[call]))) as upstream:
        client = await open_client(upstream)
        kept = (await client.say("Hello.")).json
        again = await client("GET", f"/v1/responses/{kept['id']}?stream=true")
        assert again.events[0]["type"] == "response.created"
        assert {event["response"]["id"] for event in again.events if "response" in event} == {kept["id"]}
        assert [item["type"] for item in again.json["output"]] == ["message", "function_call"]
        assert again.json == kept
        refused = await client("GET", f"/v1/responses/{kept['id']}?stream=true&starting_after=2")
        assert (refused.status, refused.code) == (400, "response_not_resumable")


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_compacting(open_client: Any, dialect: str) -> None:
    answers: dict[str, Any] = {"chat": chat_text, "responses": responses_text}
    script = [answers[dialect](text) for text in ("Noted.", "The dog is Rex.", "Rex.", "Rex!")]
    async with ScriptedUpstream(script) as upstream:
        client = await open_client(upstream, dialect)
        name = (await client.say("My dog is Rex.")).json["id"]
        small = await client("POST", "/v1/responses/compact", {"model": "m", "previous_response_id": name})
        assert (small.status, small.json["object"]) == (200, "response.compaction")
        assert small.json["usage"]["output_tokens"] == 12
        user, summary = small.json["output"]
        assert (user["role"], summary["type"]) == ("user", "compaction")
        assert "Sum up" in upstream.requests[1].body.decode()
        for more in ({}, {"store": False}):
            answer = await client.say([*small.json["output"], {"role": "user", "content": "His name?"}], **more)
            assert answer.status == 200
            told = upstream.requests[-1].json
            assert "compaction" not in json.dumps(told)
            said = [item["content"] for item in told["messages" if dialect == "chat" else "input"]]
            assert "The dog is Rex." in json.dumps(said[1])
            assert "Noted." not in json.dumps(said)
        bad = await client("POST", "/v1/responses/compact", {"model": "m", "previous_response_id": "resp_x"})
        assert (bad.status, bad.code) == (404, "previous_response_not_found")
        empty = await client("POST", "/v1/responses/compact", {"model": "m"})
        assert (empty.status, empty.code) == (400, "input_required")


async def test_an_upstream_that_keeps_responses_is_told_only_what_is_new(open_client: Any) -> None:
    script = [responses_text(text, id=f"resp_up{number}") for number, text in enumerate(("One.", "Two.", "Three."))]
    async with ScriptedUpstream(script) as upstream:
        client = await open_client(upstream, "responses", native="reference")
        first = (await client.say("1?")).json
        second = (await client.say("2?", previous_response_id=first["id"])).json
        third = await client.say("3?", previous_response_id=second["id"], store=False)
        one, two, three = (request.json for request in upstream.requests)
        assert (one["store"], "previous_response_id" in one) == (True, False)
        assert (two["store"], two["previous_response_id"], len(two["input"])) == (True, "resp_up0", 1)
        assert second["previous_response_id"] == first["id"]
        assert "resp_up" not in json.dumps([first, second, third.json])
        # What is not to be kept here is not kept there either, and so the whole is told.
        assert (three["store"], len(three["input"])) == (False, 5)
        kept = (await client("GET", f"/v1/responses/{second['id']}")).json
        assert kept == second


@pytest.mark.parametrize("store", [b"true", b"false"])
async def test_references_are_found_however_they_are_spelt(open_client: Any, store: bytes) -> None:
    """An upstream that keeps responses would look for them among all that was ever said with this key."""
    async with ScriptedUpstream(responses_text("Hi.")) as upstream:
        client = await open_client(upstream, "responses")
        body = rb'{"model":"m","input":[{"type":"item\u005freference","id":"msg_x"}],"store":%b}' % store
        headers = [("content-type", "application/json")]
        exchange = await client.driver.request("POST", "/v1/responses", headers=headers, body=body)
        assert (await exchange.start()).status == 404
        await exchange.finished()
        assert not upstream.requests
