"""The Responses API over a WebSocket: one response after the other, and what is remembered between them."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm import Gateway, Identity, LLMMiddleware
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import (
    Answer,
    Call,
    ScriptedUpstream,
    Wait,
    chat_completion,
    chat_error,
    chat_stream,
    chat_text,
    responses_stream,
)

TARGET = {"provider": "echo"}
LAST = ("response.completed", "response.incomplete", "response.failed", "error", "response.steer.failed")


class Socket:
    """A client's end of a WebSocket to an ASGI application."""

    def __init__(self, app: Any, path: str = "/v1/responses", **scope: Any) -> None:
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self._heard: asyncio.Queue[Any] = asyncio.Queue()
        self._heard.put_nowait({"type": "websocket.connect"})
        whole = {
            "type": "websocket",
            "scheme": "ws",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"here")],
            "extensions": {"websocket.http.response": {}},
        }
        self.task = asyncio.create_task(app(whole | scope, self._heard.get, self.said.put))

    async def next(self) -> Any:
        async with asyncio.timeout(60):
            return await self.said.get()

    def push(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self._heard.put_nowait({"type": "websocket.receive", "text": text})

    async def events(self) -> list[Any]:
        """Those up to the end of a response."""
        events: list[Any] = []
        while not events or events[-1]["type"] not in LAST:
            events.append(json.loads((await self.next())["text"]))
        return events

    async def say(self, text: Any, **asked: Any) -> Any:
        """The last event about a response."""
        self.push({"type": "response.create", "model": "m", "input": text, **asked})
        return (await self.events())[-1]

    async def leave(self) -> None:
        self._heard.put_nowait({"type": "websocket.disconnect", "code": 1005})
        async with asyncio.timeout(60):
            await self.task


@pytest.fixture
def connect(request: pytest.FixtureRequest) -> Any:
    """``await connect(client)`` opens a WebSocket as that client."""

    async def connect(client: Any) -> Socket:
        socket = Socket(client.gateway.asgi, **{IDENTITY_KEY: client.identity})
        assert (await socket.next())["type"] == "websocket.accept"
        return socket

    return connect


async def test_one_after_the_other_in_the_grammar_of_streams(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream([chat_stream(["One ", "two."]), chat_stream(["Three."])]) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        for text in ("Count.", "Go on."):  # the second one waits for the first
            socket.push({"type": "response.create", "model": "m", "input": text})
        first, second = await socket.events(), await socket.events()
        for events in (first, second):
            assert events[0]["type"] == "response.created"
            assert events[-1]["type"] == "response.completed"
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert first[-1]["response"]["output"][0]["content"][0]["text"] == "One two."
        assert "type" not in upstream.requests[0].json
        await socket.leave()


async def test_what_is_not_kept_is_built_upon_on_the_same_connection_only(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream(lambda _request: chat_stream(["OK."])) as upstream:
        client = await open_client(upstream, websocket=True)
        socket, other = await connect(client), await connect(client)
        first = (await socket.say("The word is cobalt.", store=False))["response"]
        assert first["store"] is False
        for elsewhere in (await other.say("?", previous_response_id=first["id"], store=False),):
            assert elsewhere["type"] == "error"
            assert (elsewhere["status"], elsewhere["error"]["code"]) == (404, "previous_response_not_found")
        assert (await client("GET", f"/v1/responses/{first['id']}")).status == 404
        assert (await client.say("?", previous_response_id=first["id"])).status == 404
        second = (await socket.say("Which word?", previous_response_id=first["id"], store=False))["response"]
        assert second["previous_response_id"] == first["id"]
        told = [message["content"] for message in upstream.requests[-1].json["messages"]]
        assert told == ["The word is cobalt.", "OK.", "Which word?"]
        # Only the last one is remembered.
        assert (await socket.say("?", previous_response_id=first["id"]))["status"] == 404
        # What is kept holds all of what it builds upon.
        third = (await socket.say("Keep it.", previous_response_id=second["id"]))["response"]
        assert (await client.say("Still there?", previous_response_id=third["id"])).status == 200
        told = [message["content"] for message in upstream.requests[-1].json["messages"]]
        assert told == ["The word is cobalt.", "OK.", "Which word?", "OK.", "Keep it.", "OK.", "Still there?"]


@pytest.mark.parametrize("fault", ["a result without its call", "an upstream's error"])
async def test_a_failure_forgets_what_it_was_to_build_upon(open_client: Any, connect: Any, fault: str) -> None:
    script: list[Any] = [chat_stream(["OK."])]
    said: Any = "Hm?"
    if fault == "an upstream's error":
        script.append(chat_error(400, "no"))
    else:
        said = [{"type": "function_call_output", "call_id": "call_none", "output": "1"}]
    async with ScriptedUpstream(script) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        first = (await socket.say("Hello.", store=False))["response"]["id"]
        failed = await socket.say(said, previous_response_id=first, store=False)
        assert (failed["type"], failed["status"]) == ("error", 400)
        after = await socket.say("And now?", previous_response_id=first, store=False)
        assert after["error"]["code"] == "previous_response_not_found"


async def test_warming_up_asks_nobody(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream([chat_stream(["Yes."])]) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        warm = (await socket.say("Long context.", generate=False, store=False))["response"]
        assert (warm["status"], warm["output"], len(upstream.requests)) == ("completed", [], 0)
        await socket.say("Question?", previous_response_id=warm["id"], store=False)
        told = [message["content"] for message in upstream.requests[0].json["messages"]]
        assert told == ["Long context.", "Question?"]


async def test_leaving_cancels(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream(chat_stream(["One ", Wait(asyncio.Event()), "two."])) as upstream:
        client = await open_client(upstream, websocket=True)
        socket = await connect(client)
        for _ in range(3):
            socket.push({"type": "response.create", "model": "m", "input": "x"})
        request = await upstream.wait_request()
        await socket.leave()
        assert len(upstream.requests) == 1
        async with asyncio.timeout(60):
            await request.disconnected.wait()
        assert client.gateway.runtime().active == 0


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ({"type": "session.update"}, "unknown_message"),
        ({"type": "response.create", "model": "m", "input": "x", "background": True}, "unsupported_parameter"),
        ({"type": "response.create", "input": "x"}, "model_required"),
        ({"type": "response.create", "model": "m", "input": 5}, "invalid_request"),
        ({"type": "response.create", "model": "m", "store": "x"}, "invalid_request"),
        ({"type": "response.steer", "previous_response_id": "resp_1", "input": "x"}, "steering_not_supported"),
    ],
)
async def test_a_bad_message_harms_no_other(open_client: Any, connect: Any, message: Any, code: str) -> None:
    async with ScriptedUpstream([chat_stream(["Hi."])]) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        socket.push(message)
        (event,) = await socket.events()
        assert event["error"]["code"] == code
        assert (await socket.say("Hello."))["type"] == "response.completed"


async def test_an_upstream_that_gives_no_stream(open_client: Any, connect: Any) -> None:
    answer = chat_completion("Whole.", calls=[Call("add", "{}", "call_1")])
    async with ScriptedUpstream(Answer.json(answer)) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        last = await socket.say("x")
        assert last["response"]["output"][0]["content"][0]["text"] == "Whole."


async def test_an_upstreams_own_way_of_saying_no(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream(Answer.json({"detail": "no such model"}, status=404)) as upstream:
        socket = await connect(await open_client(upstream, "responses", websocket=True))
        refused = await socket.say("x")
        assert (refused["type"], refused["status"]) == ("error", 404)
        assert "no such model" in refused["error"]["message"]
        assert refused["headers"]["x-request-id"]


async def test_when_to_ask_again(open_client: Any, connect: Any) -> None:
    limited = chat_error(429, "slow down", headers={"retry-after": "7"})
    async with ScriptedUpstream(lambda _request: limited) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        refused = await socket.say("x")
        assert (refused["status"], refused["error"]["code"]) == (429, "rate_limit_exceeded")
        assert refused["headers"]["retry-after"] == "7"


async def test_a_connection_ends_in_time(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream() as upstream:
        socket = await connect(await open_client(upstream, websocket=True, websocket_lifetime=0.05))
        (event,) = await socket.events()
        assert event["error"]["code"] == "websocket_connection_limit_reached"
        assert (await socket.next())["type"] == "websocket.close"


async def test_who_asks_for_too_much_at_once_is_cut_off(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream(chat_stream(["One ", Wait(asyncio.Event()), "two."])) as upstream:
        socket = await connect(await open_client(upstream, websocket=True))
        for _ in range(20):
            socket.push({"type": "response.create", "model": "m", "input": "x"})
        while (message := await socket.next())["type"] != "websocket.close":
            pass
        assert message["code"] == 1000
        async with asyncio.timeout(60):
            await socket.task


def gateway(**responses: Any) -> Gateway:
    settings = {"stateful": True, "websocket": True} | responses
    keys = [{"key": "gateway-key", "subject": "ann"}]
    return Gateway({"targets": {"e": TARGET}, "auth": {"keys": keys}, "responses": settings})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([(b"authorization", b"Bearer wrong")], 401),
        ([(b"authorization", b"Bearer gateway-key"), (b"origin", b"https://elsewhere")], 403),
        ([(b"authorization", b"Bearer gateway-key"), (b"origin", b"https://here")], None),
        ([(b"authorization", b"Bearer gateway-key")], None),
    ],
)
async def test_who_may_connect(headers: Any, status: int | None) -> None:
    async with (made := gateway()).running():
        socket = Socket(made.asgi, headers=[(b"host", b"here"), *headers])
        assert (await socket.next()).get("status") == status
        if status is None:
            assert (await socket.say("Hello."))["response"]["status"] == "completed"
        await socket.leave()


async def test_where_it_is_off_agents_are_told_to_go_on_over_http() -> None:
    async with (made := gateway(websocket=False)).running():
        assert (await Socket(made.asgi).next())["status"] == 426
    async with (made := gateway()).running():
        assert (await Socket(made.asgi, "/v1/chat/completions").next())["status"] == 426


async def test_the_application_has_its_own_below_the_prefix() -> None:
    asked: list[str] = []

    async def site(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])

    app = LLMMiddleware(site, made := gateway(), prefix="/llm")
    async with made.running():
        who = {IDENTITY_KEY: Identity(subject="ann")}
        socket = Socket(app, "/llm/v1/responses", **who)
        assert (await socket.next())["type"] == "websocket.accept"
        await socket.leave()
        for path in ("/llm/news", "/v1/responses"):
            await Socket(app, path).task
    assert asked == ["/llm/news", "/v1/responses"]


def test_it_needs_state() -> None:
    with pytest.raises(Exception, match="websocket needs stateful"):
        gateway(stateful=None)


async def test_it_counts_like_any_other_request(open_client: Any, connect: Any) -> None:
    async with ScriptedUpstream(chat_text("x")) as upstream:
        client = await open_client(upstream, websocket=True)
        socket = await connect(client.other(subject="bob"))
        mine = (await client.say("Mine.")).json["id"]
        refused = await socket.say("x", previous_response_id=mine)
        assert (refused["status"], refused["error"]["code"]) == (404, "previous_response_not_found")


async def test_what_an_upstream_keeps_is_built_upon_there(open_client: Any, connect: Any) -> None:
    script = [responses_stream([text], id=f"resp_up{number}") for number, text in enumerate(("One.", "Two.", "Three."))]
    async with ScriptedUpstream(script) as upstream:
        client = await open_client(upstream, "responses", websocket=True, native="verbatim")
        socket = await connect(client)
        first = (await socket.say("1?"))["response"]["id"]
        second = (await socket.say("2?", previous_response_id=first))["response"]["id"]
        refused = await socket.say("3?", previous_response_id=second, generate=False)
        assert (refused["type"], refused["error"]["param"]) == ("error", "generate")
        assert (await socket.say("3?", previous_response_id=second, store=False))["type"] == "response.completed"
        told = [request.json for request in upstream.requests]
        assert [said.get("previous_response_id") for said in told] == [None, "resp_up0", "resp_up1"]
        assert [len(said["input"]) for said in told] == [2, 2, 2]  # the text as it is
        await socket.leave()
