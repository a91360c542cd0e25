"""Where nothing is kept, and that is said."""

import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import (
    ASGIDriver,
    ScriptedUpstream,
    chat_stream,
    chat_text,
    messages_text,
    responses_stream,
    responses_text,
)

WHOLE: dict[str, Any] = {"chat": chat_text, "messages": messages_text, "responses": responses_text}
every = pytest.mark.parametrize("dialect", list(WHOLE))
STORE = '299 - "store ignored; this gateway keeps no responses"'


@every
@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id_not_supported", "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation_not_supported", "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation_not_supported", "conversation"),
        ({"background": True}, "background_not_supported", "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference_not_supported", "input"),
    ],
)
async def test_references_are_refused(open_client: Any, dialect: str, body: Any, code: str, param: str) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream, dialect, stateful=False)
        answer = await client("POST", "/v1/responses", {"model": "m", "input": "x", **body})
        assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, code, param)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id_not_supported"),
        ({"conversation": "conv_1"}, "conversation_not_supported"),
        ({"background": True}, "background_not_supported"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference_not_supported"),
        ({"previous_response_id": "resp_1", "model": None}, "previous_response_id_not_supported"),
        ({}, "no_route"),
    ],
)
async def test_they_are_refused_before_a_model_is_looked_for(stack: Any, body: Any, code: str) -> None:
    """But not before it is known who asks."""
    async with ScriptedUpstream() as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"}
        settings = {
            "targets": {"up": target, "other": target},
            "routes": [{"model": "known", "target": "up"}],
            "responses": {"stateful": False},
            "auth": {"keys": [{"key": "sk-here", "subject": "ann"}]},
        }
        gateway = Gateway(settings)
        await stack.enter_async_context(gateway.running())
        for path in ("/v1/responses", "/v1/responses/input_tokens"):
            for key, told in (("sk-here", (400, code)), ("sk-wrong", (401, "invalid_api_key"))):
                asked = ASGIDriver(gateway.asgi)
                said = {"model": "unknown", "input": "x"} | body
                exchange = await asked.request("POST", path, json=said, headers=[("x-api-key", key)])
                head = await exchange.start()
                answer = json.loads(await exchange.body())
                assert (head.status, answer["error"]["code"]) == told
        assert not upstream.requests


@every
@pytest.mark.parametrize("body", [{"previous_response_id": None, "conversation": None}, {}])
async def test_null_is_as_good_as_nothing(open_client: Any, dialect: str, body: Any) -> None:
    async with ScriptedUpstream(WHOLE[dialect]("Hi.")) as upstream:
        client = await open_client(upstream, dialect, stateful=False)
        assert (await client.say("a word: item_reference", **body)).status == 200


@every
@pytest.mark.parametrize(("body", "warned"), [({}, True), ({"store": True}, True), ({"store": False}, False)])
async def test_a_wish_to_store_is_answered_with_a_warning(
    open_client: Any, dialect: str, body: Any, warned: bool
) -> None:
    async with ScriptedUpstream(WHOLE[dialect]("Hi.", id="resp_upstream")) as upstream:
        client = await open_client(upstream, dialect, stateful=False)
        answer = await client.say("Hello.", **body)
        assert answer.headers.get("warning") == (STORE if warned else None)
        assert ("store;warn" in answer.headers.get("x-llm-warnings", "")) == warned
        assert answer.json["store"] is False
        assert answer.json["id"].startswith("resp_")
        assert answer.json["id"] != "resp_upstream"
        assert upstream.requests[0].json.get("store") in ((False,) if dialect == "responses" else (False, None))


async def test_a_failure_warns_of_nothing(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("x")) as upstream:
        client = await open_client(upstream, stateful=False)
        answer = await client.say([{"type": "message", "role": "nobody", "content": "x"}])
        assert answer.status == 400
        assert "warning" not in answer.headers


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_a_stream_has_one_id(open_client: Any, dialect: str) -> None:
    answers = {"chat": chat_stream, "responses": responses_stream}
    async with ScriptedUpstream(answers[dialect](["He", "llo"], id="resp_up", split=3)) as upstream:
        client = await open_client(upstream, dialect, stateful=False)
        answer = await client.say("Hello.", stream=True)
        names = {event["response"]["id"] for event in answer.events if "response" in event}
        assert len(names) == 1
        assert "resp_up" not in answer.body.decode()
        assert answer.headers["warning"] == STORE
        assert answer.text == "Hello"


@pytest.mark.parametrize(("dialect", "dropped"), [("messages", True), ("responses", False)])
async def test_thoughts_that_cannot_go_back_are_named(open_client: Any, dialect: str, dropped: bool) -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAopaque"}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4."}]}
    asked = [{"role": "user", "content": "2+2?"}, thought, said, {"role": "user", "content": "Sure?"}]
    async with ScriptedUpstream(WHOLE[dialect]("Yes.")) as upstream:
        client = await open_client(upstream, dialect, stateful=False)
        answer = await client.say(asked, store=False)
        assert answer.status == 200
        told = upstream.requests[0].body.decode()
        assert ("gAAAopaque" in told) != dropped
        assert answer.headers.get("warning") == ('299 - "reasoning items dropped"' if dropped else None)


async def test_there_is_one_header_of_warnings(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = await open_client(upstream, stateful=False)
        answer = await client.say("Hello.", context_management=[])
        assert answer.headers["x-llm-warnings"] == "context_management;warn, store;warn"
