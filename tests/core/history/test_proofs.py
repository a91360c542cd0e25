"""Chat clients leave out what proves a thought. The model gets it back all the same: from memory, by the call's id."""

import base64
import json
from typing import Any

import pytest

from asgi_llm.testing import (
    Answer,
    Call,
    ScriptedUpstream,
    gemini_events,
    gemini_response,
    gemini_text,
    messages_events,
    messages_message,
    messages_text,
    responses_events,
    responses_response,
    responses_text,
)

PROOF = base64.b64encode(b"the proof of a thought").decode()
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
CALL = Call("add", '{"a":1}', "call_1")
LAST: dict[str, Any] = {"messages": messages_text, "gemini": gemini_text, "responses": responses_text}


def signed(value: Any) -> Any:
    """What a model said, with its proof in the place where its provider has it."""
    match value:
        case {"functionCall": _}:
            return value | {"thoughtSignature": PROOF}
        case {"type": "thinking", "signature": _}:
            return value | {"signature": PROOF}
        case {"type": "signature_delta"}:
            return value | {"signature": PROOF}
        case {"type": "reasoning"}:
            return value | {"encrypted_content": PROOF}
        case dict():
            return {name: signed(inner) for name, inner in value.items()}
        case list():
            return [signed(inner) for inner in value]
    return value


def thinks(dialect: str, stream: bool) -> Answer:
    build: Any = {
        "messages": (messages_message, messages_events),
        "gemini": (gemini_response, gemini_events),
        "responses": (responses_response, responses_events),
    }[dialect]
    options: Any = {"calls": [CALL]} | ({} if dialect == "gemini" else {"reasoning": "Hm."})
    if stream:
        return Answer.sse(signed(build[1]([], **options)))
    return Answer.json(signed(build[0]("", **options)))


def spoken(answer: Any, stream: bool) -> Any:
    """The assistant's message as a client keeps it that knows nothing of thoughts."""
    if not stream:
        said = answer.json["choices"][0]["message"]
        calls = said["tool_calls"]
    else:
        deltas = [choice["delta"] for event in answer.events for choice in event["choices"]]
        pieces = [call for delta in deltas for call in delta.get("tool_calls") or []]
        arguments = "".join(piece["function"].get("arguments", "") for piece in pieces)
        calls = [pieces[0] | {"function": {"name": pieces[0]["function"]["name"], "arguments": arguments}}]
    kept = [{name: call[name] for name in ("id", "type", "function")} for call in calls]
    return {"role": "assistant", "content": None, "tool_calls": kept}


async def converse(client: Any, stream: bool, last: Any = None, **more: Any) -> Any:
    """Two turns; the second one asked by ``last`` if that is somebody else."""
    asked: dict[str, Any] = {"model": "m", "tools": [TOOL], "stream": stream}
    said: list[Any] = [{"role": "user", "content": "1 + 2?"}]
    first = await client("POST", "/v1/chat/completions", asked | {"messages": said})
    assert first.status == 200, first.body
    call = spoken(first, stream)
    said += [call, {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "3"}]
    second = asked | {"messages": said, "stream": False} | more
    answer = await (last or client)("POST", "/v1/chat/completions", second)
    assert answer.status == 200, answer.body
    return answer


@pytest.mark.parametrize("stateful", [None, True, False])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", list(LAST))
async def test_a_proof_finds_its_way_back(open_client: Any, dialect: str, stream: bool, stateful: bool | None) -> None:
    async with ScriptedUpstream([thinks(dialect, stream), LAST[dialect]("3.")]) as upstream:
        client = await open_client(upstream, dialect, stateful=stateful, signatures=True)
        await converse(client, stream)
        assert PROOF in upstream.requests[1].body.decode()


async def test_without_the_setting_it_does_not(open_client: Any) -> None:
    async with ScriptedUpstream([thinks("messages", False), messages_text("3.")]) as upstream:
        client = await open_client(upstream, "messages", stateful=None)
        await converse(client, False)
        assert client.gateway.runtime().history is None
        assert PROOF not in upstream.requests[1].body.decode()


async def test_another_process_finds_it(open_client: Any, sql_url: str) -> None:
    async with ScriptedUpstream([thinks("gemini", True), gemini_text("3.")]) as upstream:
        one = await open_client(upstream, "gemini", signatures=True, store=sql_url)
        two = await open_client(upstream, "gemini", signatures=True, store=sql_url)
        await converse(one, True, last=two)
        assert PROOF in upstream.requests[1].body.decode()


@pytest.mark.parametrize("who", [{"subject": "bob"}, {"tenant": "other"}])
async def test_nobody_else_does(open_client: Any, who: Any) -> None:
    async with ScriptedUpstream([thinks("messages", False), messages_text("3.")]) as upstream:
        client = await open_client(upstream, "messages", signatures=True)
        await converse(client, False, last=client.other(**who))
        assert PROOF not in upstream.requests[1].body.decode()


async def test_another_model_does_not_get_it(open_client: Any) -> None:
    async with ScriptedUpstream([thinks("messages", False), messages_text("3.")]) as upstream:
        client = await open_client(upstream, "messages", signatures=True)
        await converse(client, False, model="n")
        assert PROOF not in upstream.requests[1].body.decode()


async def test_a_proof_that_is_there_is_left_alone(open_client: Any) -> None:
    """The history stays what the client sent, where that has proofs of its own."""
    own = base64.b64encode(b"as the client has it").decode()
    async with ScriptedUpstream([thinks("gemini", False), gemini_text("3.")]) as upstream:
        client = await open_client(upstream, "gemini", signatures=True)
        call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        call["extra_content"] = {"google": {"thought_signature": own}}
        await client("POST", "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        said = [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ]
        await client("POST", "/v1/chat/completions", {"model": "m", "messages": said})
        told = json.dumps(upstream.requests[1].json)
        assert own in told
        assert PROOF not in told


@pytest.mark.parametrize(("stateful", "kept"), [(None, 1), (True, 2), (False, 1)])
async def test_forgetting_a_user_forgets_proofs(open_client: Any, stateful: bool | None, kept: int) -> None:
    async with ScriptedUpstream([thinks("messages", False), messages_text("3.")]) as upstream:
        client = await open_client(upstream, "messages", signatures=True, stateful=stateful)
        asked = {"model": "m", "tools": [TOOL], "messages": [{"role": "user", "content": "x"}]}
        await client("POST", "/v1/chat/completions", asked)
        await client.say("x")
        assert await client.gateway.forget(client.identity) == kept
        assert await client.gateway.forget(client.identity) == 0
