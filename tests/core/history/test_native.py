"""Responses that an upstream makes and keeps itself (``native = "verbatim"``)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.hooks import Hook
from asgi_llm.stores.scope import Scope
from asgi_llm.testing import (
    Answer,
    Recorded,
    ScriptedUpstream,
    Tokens,
    chat_text,
    responses_events,
    responses_response,
)


def lost(name: str) -> Answer:
    error = {"message": f"Response with id '{name}' not found.", "type": "invalid_request_error", "code": None}
    return Answer.json({"error": error}, status=404)


class Account:
    """An upstream that keeps responses and conversations, each for the key that made it. Its bytes are like nobody
    else's, so that it shows whether they pass as they are."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], dict[str, Any]] = {}
        self.count = 0
        self.asked: list[tuple[str, str, str]] = []
        self.bodies: list[bytes] = []
        self.sent: list[bytes] = []

    async def __call__(self, request: Recorded) -> Answer:
        key = request.header("authorization").removeprefix("Bearer ")
        path = request.path.removeprefix("/v1")
        self.asked.append((request.method, path + (f"?{request.query}" if request.query else ""), key))
        self.bodies.append(request.body)
        answer = self.answer(request, key, path)
        self.sent.append(b"".join(step for step in answer.steps if isinstance(step, bytes)))
        return answer

    def answer(self, request: Recorded, key: str, path: str) -> Answer:
        _, collection, *rest = path.split("/")
        if request.method == "POST" and not rest:
            return self.make(request, key, collection)
        if rest in (["compact"], ["input_tokens"]):
            if (name := request.json.get("previous_response_id")) and (key, name) not in self.kept:
                return lost(name)
            if rest == ["compact"]:
                usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
                return odd({"id": "resp_c", "object": "response.compaction", "output": [], "usage": usage})
            return odd({"object": "response.input_tokens", "input_tokens": 4711})
        if (kept := self.kept.get((key, rest[0]))) is None:
            return lost(rest[0])
        if request.method == "DELETE" and len(rest) == 1:
            del self.kept[key, rest[0]]
            return odd({"id": rest[0], "object": "response.deleted", "deleted": True})
        if rest[1:] == ["cancel"]:
            kept["status"] = "cancelled"
        if len(rest) > 1 and rest[1] != "cancel":
            return odd({"object": "list", "data": [], "has_more": False})
        if "stream=true" in request.query:
            events = responses_events(["Re", "sumed."], id=rest[0], tokens=Tokens(input=40, output=2))
            return Answer.sse(events[2:])
        return odd(kept)

    def make(self, request: Recorded, key: str, collection: str) -> Answer:
        self.count += 1
        asked = request.json
        if collection == "conversations":
            name = f"conv_up{self.count}"
            self.kept[key, name] = {"id": name, "object": "conversation", "created_at": 1, "metadata": {}}
            return odd(self.kept[key, name])
        for said in (asked.get("previous_response_id"), asked.get("conversation")):
            if said and (key, said) not in self.kept:
                return lost(said)
        name = f"resp_up{self.count}"
        made = responses_response(f"Answer {self.count}.", id=name, model=asked["model"])
        made["output"][0]["id"] = f"msg_up{self.count}"
        if asked.get("background"):
            made |= {"status": "queued", "output": [], "usage": None, "background": True}
        if asked.get("store") is not False:
            self.kept[key, name] = made
        if asked.get("stream"):
            return Answer.sse(responses_events([f"Answer {self.count}."], id=name, model=asked["model"]), split=50)
        return odd(made)


def odd(value: Any) -> Answer:
    """JSON with spaces where nobody would put them."""
    body = json.dumps(value, separators=(" , ", " : ")).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return Answer((head + body,))


@pytest.fixture
async def account() -> AsyncIterator[tuple[Account, str]]:
    kept = Account()
    async with ScriptedUpstream(kept) as upstream:
        yield kept, f"{upstream.url}/v1"


async def open_native(
    open_client: Any, stack: AsyncExitStack, url: str, *, hooks: Any = (), sinks: Any = (), **more: Any
) -> Any:
    """Somebody who asks a gateway; ``more`` are settings besides."""
    target: dict[str, Any] = {"provider": "openai", "base_url": url, "api_key": "sk-up"}
    target |= more.pop("target", {})
    if "api_keys" in target:
        del target["api_key"]
    settings = {
        "targets": {"up": target} | more.pop("targets", {}),
        "responses": {"stateful": True, "native": "verbatim"} | more.pop("responses", {}),
        **more,
    }
    gateway = Gateway(settings, hooks=hooks, on_settled=sinks)
    await stack.enter_async_context(gateway.running())
    return open_client.client(gateway)


async def test_all_of_it_goes_upstream_as_it_is(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str], store_url: str
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url, store={"url": store_url})
    first = await client.say("1?")
    assert up.sent[-1].endswith(first.body)
    second = await client.say("2?", previous_response_id="resp_up1", stream=True)
    assert (second.json["id"], up.sent[-1].endswith(second.body)) == ("resp_up2", False)  # framed in chunks
    for method, path, status in [
        ("GET", "/responses/resp_up1", 200),
        ("GET", "/responses/resp_up1?include%5B%5D=x&stream=false", 200),
        ("GET", "/responses/resp_up2/input_items?limit=7&order=asc", 200),
        ("POST", "/responses/resp_up2/cancel", 200),
        ("DELETE", "/responses/resp_up1", 200),
    ]:
        answer = await client(method, f"/v1{path}")
        assert (answer.status, up.asked[-1]) == (status, (method, path, "sk-up"))
        assert up.sent[-1].endswith(answer.body)
    asked = len(up.asked)
    gone = await client("GET", "/v1/responses/resp_up1")
    assert (gone.status, gone.code, len(up.asked)) == (404, "response_not_found", asked)
    told = await client("GET", "/v1/responses/resp_up2?stream=true&starting_after=1")
    assert told.headers["content-type"].startswith("text/event-stream")
    assert up.asked[-1] == ("GET", "/responses/resp_up2?stream=true&starting_after=1", "sk-up")
    assert told.events[-1]["type"] == "response.completed"
    assert told.events[0]["sequence_number"] > 0
    head = await client("HEAD", "/v1/responses/resp_up2")
    assert (head.status, head.body) == (200, b"")


async def test_the_request_passes_byte_for_byte(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url)
    await client.say("1?")
    body = b'{ "model":"m" ,"previous_response_id" : "resp_up1", "store":true, "input" :"And?" }'
    exchange = await client.driver.request(
        "POST", "/v1/responses", headers=[("content-type", "application/json")], body=body
    )
    assert (await exchange.start()).status == 200
    await exchange.body()
    await exchange.finished()
    assert up.bodies[-1] == body


async def test_nothing_goes_upstream_for_others(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str], store_url: str
) -> None:
    up, url = account
    more = {"conversations": "up"}
    ann = await open_native(open_client, stack, url, store={"url": store_url}, responses=more)
    await ann.say("1?")
    assert (await ann("POST", "/v1/conversations", {})).json["id"] == "conv_up2"
    asked = len(up.asked)
    for other in (ann.other(subject="bob"), ann.other(tenant="other"), ann.other(subject="")):
        for method, path, body in [
            ("GET", "/responses/resp_up1", None),
            ("GET", "/responses/resp_up1?stream=true&starting_after=1", None),
            ("DELETE", "/responses/resp_up1", None),
            ("POST", "/responses/resp_up1/cancel", None),
            ("GET", "/responses/resp_up1/input_items", None),
            ("POST", "/responses", {"model": "m", "input": "x", "previous_response_id": "resp_up1"}),
            ("POST", "/responses", {"model": "m", "input": "x", "conversation": "conv_up2"}),
            ("POST", "/responses", {"model": "m", "input": [{"type": "item_reference", "id": "msg_up1"}]}),
            ("POST", "/responses/compact", {"model": "m", "previous_response_id": "resp_up1"}),
            ("POST", "/responses/input_tokens", {"model": "m", "previous_response_id": "resp_up1"}),
            ("GET", "/conversations/conv_up2", None),
            ("POST", "/conversations/conv_up2", {"metadata": {}}),
            ("DELETE", "/conversations/conv_up2", None),
            ("GET", "/conversations/conv_up2/items", None),
            ("POST", "/conversations/conv_up2/items", {"items": [{"role": "user", "content": "x"}]}),
            ("GET", "/conversations/conv_up2/items/msg_1", None),
            ("DELETE", "/conversations/conv_up2/items/msg_1", None),
        ]:
            answer = await other(method, f"/v1{path}", body)
            assert answer.status == 404, (method, path)
            assert answer.code.endswith("_not_found")
    assert len(up.asked) == asked
    assert (await ann("GET", "/v1/conversations/conv_up2")).status == 200


async def test_no_spelling_of_a_reference_reaches_what_is_anothers(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    ann = await open_native(open_client, stack, url, responses={"conversations": "up"})
    await ann.say("1?")
    bob = ann.other(subject="bob")
    await bob("POST", "/v1/conversations", {})
    asked = len(up.asked)
    theirs = rb'{"type":"item\u005freference","id":"msg_up1"}'
    for path, body in [
        ("/responses", rb'{"model":"m","input":[%b]}' % theirs),
        ("/responses", rb'{"model":"m","input":[{"type":"message","id":5},7,%b]}' % theirs),
        ("/responses", rb'{"model":"m","previous\u005fresponse_id":"resp_up1","input":"x"}'),
        ("/responses", rb'{"model":"m","previous_response_id":"resp_up1","previous_response_id":null,"input":"x"}'),
        ("/responses/compact", rb'{"model":"m","input":[%b]}' % theirs),
        ("/conversations", rb'{"items":[%b]}' % theirs),
        ("/conversations/conv_up2/items", rb'{"items":[{"type":5},%b]}' % theirs),
        ("/conversations/conv_up2/items", rb'{"items":[%b],"items":[]}' % theirs),
    ]:
        headers = [("content-type", "application/json")]
        exchange = await bob.driver.request("POST", f"/v1{path}", headers=headers, body=body)
        assert (await exchange.start()).status in (400, 404), body
        await exchange.finished()
    assert len(up.asked) == asked


async def test_a_key_of_several_is_pinned(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url, target={"api_keys": ["sk-a", "sk-b", "sk-c"]})
    made = [(await client.say(f"{number}?")).json["id"] for number in range(3)]
    keys = [key for _, _, key in up.asked]
    assert sorted(keys) == ["sk-a", "sk-b", "sk-c"]
    for name, key in [*zip(made, keys, strict=True)] * 2:
        for method, path, body in [
            ("GET", f"/responses/{name}", None),
            ("GET", f"/responses/{name}/input_items", None),
            ("POST", "/responses", {"model": "m", "input": "x", "previous_response_id": name}),
            ("POST", "/responses/input_tokens", {"model": "m", "input": "x", "previous_response_id": name}),
            ("POST", "/responses/compact", {"model": "m", "previous_response_id": name}),
            ("POST", "/responses", {"model": "m", "input": [{"type": "item_reference", "id": f"msg_up{name[-1]}"}]}),
        ]:
            answer = await client(method, f"/v1{path}", body)
            assert (answer.status, up.asked[-1]) == (200, (method, path, key)), (method, path, answer.body)


async def test_the_callers_own_key_is_pinned(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    gateway = (await open_native(open_client, stack, url)).gateway
    own, none, other = (
        open_client.client(gateway, Identity(subject="ann", tenant="acme", upstream_keys=keys))
        for keys in ({"up": "sk-own"}, None, {"up": "sk-other"})
    )
    name = (await own.say("1?")).json["id"]
    assert (await own("GET", f"/v1/responses/{name}")).status == 200
    assert {key for _, _, key in up.asked} == {"sk-own"}
    asked = len(up.asked)
    for client in (none, other):
        answer = await client("GET", f"/v1/responses/{name}")
        assert (answer.status, answer.code) == (409, "state_unreachable")
        answer = await client.say("x", previous_response_id=name)
        assert (answer.status, answer.code) == (400, "state_elsewhere")
    assert len(up.asked) == asked


async def test_conversations_are_made_where_the_settings_say(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str], store_url: str
) -> None:
    up, url = account
    client = await open_native(
        open_client,
        stack,
        url,
        store={"url": store_url},
        responses={"conversations": "up"},
        target={"api_keys": ["sk-a", "sk-b"]},
    )
    made = await client("POST", "/v1/conversations", {"metadata": {"a": "b"}})
    assert (made.json["id"], up.sent[-1].endswith(made.body)) == ("conv_up1", True)
    key = up.asked[-1][2]
    for _ in range(2):
        for method, path, body in [
            ("GET", "/conversations/conv_up1", None),
            ("POST", "/conversations/conv_up1", {"metadata": {}}),
            ("GET", "/conversations/conv_up1/items?limit=3", None),
            ("POST", "/conversations/conv_up1/items", {"items": [{"role": "user", "content": "x"}]}),
            ("GET", "/conversations/conv_up1/items/msg_9", None),
            ("DELETE", "/conversations/conv_up1/items/msg_9", None),
            ("POST", "/responses", {"model": "m", "input": "x", "conversation": "conv_up1"}),
        ]:
            answer = await client(method, f"/v1{path}", body)
            assert (answer.status, up.asked[-1]) == (200, (method, path, key)), (method, path, answer.body)
    assert (await client("DELETE", "/v1/conversations/conv_up1")).json["deleted"] is True
    assert (await client("GET", "/v1/conversations/conv_up1")).code == "conversation_not_found"


async def test_what_ran_in_the_background_is_paid_for_once(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str], store_url: str
) -> None:
    up, url = account
    settled: list[Exchange] = []
    client = await open_native(open_client, stack, url, store={"url": store_url}, sinks=[settled.append])
    begun = await client.say("Think.", background=True)
    assert (begun.json["status"], up.sent[-1].endswith(begun.body)) == ("queued", True)
    assert (await client("GET", "/v1/responses/resp_up1")).json["status"] == "queued"
    assert [(one.endpoint, one.usage.input, one.usage.output) for one in settled] == [("responses", 0, 0)]
    usage = {"input_tokens": 30, "output_tokens": 12, "total_tokens": 42}
    up.kept["sk-up", "resp_up1"] |= {"status": "completed", "usage": usage}
    for _ in range(3):
        assert (await client("GET", "/v1/responses/resp_up1")).json["usage"] == usage
    assert [(one.endpoint, one.usage.input, one.usage.output) for one in settled[1:]] == [("response", 30, 12)]


async def test_a_stream_that_is_taken_up_pays_for_it(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    _, url = account
    settled: list[Exchange] = []
    client = await open_native(open_client, stack, url, sinks=[settled.append])
    await client.say("Think.", background=True)
    for _ in range(2):
        answer = await client("GET", "/v1/responses/resp_up1?stream=true&starting_after=1")
        assert answer.events[-1]["type"] == "response.completed"
    assert [(one.endpoint, one.usage.input, one.usage.output) for one in settled[1:]] == [("response", 40, 2)]


async def test_it_cannot_go_on_elsewhere(open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]) -> None:
    up, url = account
    async with ScriptedUpstream(chat_text("Hi.")) as other:
        target = {"provider": "openai", "base_url": f"{other.url}/v1", "api_key": "k", "dialects": ["chat"]}
        routes = [{"model": "other", "target": "other"}, {"model": "*", "target": "up", "fallback": ["other"]}]
        client = await open_native(open_client, stack, url, targets={"other": target}, routes=routes)
        name = (await client.say("1?")).json["id"]
        answer = await client.say("2?", model="other", previous_response_id=name)
        assert (answer.status, answer.code) == (400, "state_elsewhere")
        assert answer.json["error"]["param"] == "previous_response_id"
        up.kept.clear()
        answer = await client.say("2?", previous_response_id=name)
        assert (answer.status, answer.json["error"]["message"]) == (404, f"Response with id '{name}' not found.")
        assert not other.requests
        # What is begun elsewhere is kept here, and goes on anywhere.
        begun = (await client.say("1?", model="other")).json["id"]
        answer = await client.say("2?", previous_response_id=begun)
        assert (answer.status, "Answer" in answer.text) == (200, True)
        assert (await client("GET", f"/v1/responses/{answer.json['id']}")).json == answer.json


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_fallback_that_keeps_nothing_is_kept_here(
    open_client: Any, stack: AsyncExitStack, stream: bool
) -> None:
    down = Answer.json({"error": {"message": "no"}}, status=503)
    async with ScriptedUpstream(down) as up, ScriptedUpstream(chat_text("Hi.")) as other:
        target = {"provider": "openai", "base_url": f"{other.url}/v1", "api_key": "k", "dialects": ["chat"]}
        client = await open_native(
            open_client,
            stack,
            f"{up.url}/v1",
            target={"retry": {"attempts": 1}},
            targets={"other": target},
            routes=[{"model": "*", "target": "up", "fallback": ["other"]}],
        )
        answer = await client.say("1?", stream=stream)
        assert (answer.status, answer.text) == (200, "Hi.")
        assert (await client("GET", f"/v1/responses/{answer.json['id']}")).json == answer.json
        background = await client.say("1?", background=True)
        assert (background.status, len(other.requests)) == (503, 1)


async def test_what_the_upstream_lost_is_told_in_its_words(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url)
    await client.say("1?")
    up.kept.clear()
    for method in ("GET", "DELETE"):
        answer = await client(method, "/v1/responses/resp_up1")
        assert (answer.status, answer.json["error"]["code"]) == (404, None)
    asked = len(up.asked)
    answer = await client("GET", "/v1/responses/resp_up1")
    assert (answer.code, len(up.asked)) == ("response_not_found", asked)


async def test_a_model_of_another_name_keeps_it(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url, target={"models": {"m": "gpt-5-mini"}})
    made = await client.say("1?")
    assert made.json["model"] == "m"
    assert (await client("GET", "/v1/responses/resp_up1")).json == made.json
    told = await client("GET", "/v1/responses/resp_up1?stream=true")
    assert told.json["model"] == "m"
    head = await client("HEAD", "/v1/responses/resp_up1?stream=true")
    assert (head.headers["content-type"], up.asked[-1][1]) == ("application/json", "/responses/resp_up1")
    assert (await client("POST", "/v1/responses/resp_up1/cancel", {})).json["model"] == "m"


class Looking(Hook):
    async def on_response(self, ask: Any, response: Any) -> Any:
        return None


async def test_answers_that_hooks_look_at_are_kept_here(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    up, url = account
    client = await open_native(open_client, stack, url, hooks=[Looking()])
    answer = await client.say("1?")
    assert (answer.json["id"] == "resp_up1", json.loads(up.sent[-1].partition(b"\r\n\r\n")[2])["id"]) == (
        False,
        "resp_up1",
    )
    assert (await client("GET", f"/v1/responses/{answer.json['id']}")).json == answer.json
    assert len(up.asked) == 1


async def test_who_is_forgotten_is_forgotten_upstream(
    open_client: Any,
    stack: AsyncExitStack,
    account: tuple[Account, str],
    store_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    up, url = account
    more = {"conversations": "up"}
    keys = {"api_keys": ["sk-a", "sk-b"]}
    ann = await open_native(open_client, stack, url, store={"url": store_url}, responses=more, target=keys)
    bob = ann.other(subject="bob")
    for number in range(20):
        await ann.say(f"{number}?")
    await ann("POST", "/v1/conversations", {})
    kept = (await bob.say("1?")).json["id"]
    del up.kept["sk-a", "resp_up1"]  # the upstream itself has lost one
    with caplog.at_level("WARNING", "asgi_llm"):
        assert await ann.gateway.forget(ann.identity) == 21
    assert [name for _, name in up.kept] == [kept]
    assert not caplog.records
    assert (await ann("GET", "/v1/responses/resp_up2")).code == "response_not_found"
    assert (await bob("GET", f"/v1/responses/{kept}")).status == 200
    assert await ann.gateway.forget(ann.identity) == 0


async def test_an_upstream_that_is_down_keeps_nobody_from_being_forgotten(
    open_client: Any, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    made = responses_response("Hi.", id="resp_up1")
    script = [Answer.json(made), *[Answer.json({"error": {"message": "no"}}, status=500)] * 9]
    async with ScriptedUpstream(script) as upstream:
        client = await open_native(
            open_client, stack, f"{upstream.url}/v1", target={"retry": {"attempts": 2, "base": 0}}
        )
        await client.say("1?")
        assert await client.gateway.forget(client.identity) == 1
        assert "may still be kept upstream" in caplog.text
        assert (await client("GET", "/v1/responses/resp_up1")).code == "response_not_found"


async def test_it_is_metered_limited_and_watched(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str], store_url: str
) -> None:
    pytest.importorskip("prometheus_client")
    up, url = account
    client = await open_native(
        open_client,
        stack,
        url,
        store={"url": store_url},
        ledger={},
        quotas=[{"name": "q", "resource": "tokens", "window": "day", "limit": 1000}],
        telemetry={"metrics": True},
        target={"concurrency": 1, "models": {"m": "gpt-5-mini"}},
    )
    begun = await client.say("Think.", background=True, max_output_tokens=100)
    assert begun.status == 200
    usage = {"input_tokens": 900, "output_tokens": 150, "total_tokens": 1050}
    up.kept["sk-up", "resp_up1"] |= {"status": "completed", "usage": usage}
    for _ in range(3):
        assert (await client("GET", "/v1/responses/resp_up1")).status == 200
    for _ in range(2):
        told = await client("GET", "/v1/responses/resp_up1?stream=true")
        assert told.events[-1]["type"] == "response.completed"
    refused = await client.say("More.")
    assert (refused.status, refused.code) == (429, "quota_exceeded")


def test_settings() -> None:
    target = {"provider": "openai", "api_key": "k"}
    for responses, said in [
        ({"stateful": True, "conversations": "up"}, "verbatim"),
        ({"stateful": True, "native": "verbatim", "conversations": "nobody"}, 'no target "nobody"'),
    ]:
        with pytest.raises(Exception, match=said):
            Gateway({"targets": {"up": target}, "responses": responses})


async def test_summaries_of_the_gateways_own_are_told_as_texts(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    """The upstream's own, which nobody else can read, pass as they are."""
    up, url = account
    async with ScriptedUpstream(chat_text("Summary.")) as other:
        target = {"provider": "openai", "base_url": f"{other.url}/v1", "api_key": "k", "dialects": ["chat"]}
        routes = [{"model": "other", "target": "other"}, {"model": "*", "target": "up"}]
        client = await open_native(open_client, stack, url, targets={"other": target}, routes=routes)
        small = await client("POST", "/v1/responses/compact", {"model": "other", "input": "Hello."})
        assert small.status == 200
        theirs = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"}
        answer = await client.say([*small.json["output"], theirs, {"role": "user", "content": "x"}])
        assert answer.json["id"] == "resp_up1"
        told = json.loads(up.bodies[-1])["input"]
        assert [item["type"] for item in told if "type" in item].count("compaction") == 1
        assert theirs in told
        assert "Summary." in json.dumps(told)
        there = await client("POST", "/v1/responses/compact", {"model": "m", "input": "Hello."})
        assert (there.json["id"], up.asked[-1][1]) == ("resp_c", "/responses/compact")


async def test_the_echo_keeps_nothing(open_client: Any, stack: AsyncExitStack) -> None:
    target = {"provider": "echo", "base_url": None, "api_key": None}
    client = await open_native(open_client, stack, "", target=target)
    first = (await client.say("1?")).json
    assert (await client("GET", f"/v1/responses/{first['id']}")).json == first
    assert (await client.say("2?", previous_response_id=first["id"])).status == 200


async def test_what_has_expired_is_purged(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    _, url = account
    client = await open_native(open_client, stack, url, responses={"retention": 100})
    history = client.gateway.runtime().history
    begun = await client.say("1?")
    await client.say("2?")
    later = history.now() + 50
    history.now = lambda: later
    assert (await client.say("3?", previous_response_id=begun.json["id"])).status == 200
    much_later = later + 80
    history.now = lambda: much_later
    assert (await client("GET", "/v1/responses/resp_up2")).code == "response_not_found"
    assert (await client("GET", "/v1/responses/resp_up1")).status == 200  # what is built upon lives on
    end = later + 1000
    history.now = lambda: end
    await client.say("4?", background=True)
    async with asyncio.timeout(60):
        while len((await history.store.listed(Scope.of(client.identity), 9))[0]) > 1:
            await asyncio.sleep(0.01)


async def test_of_several_workers_nobody_knows_which_has_it(
    open_client: Any, stack: AsyncExitStack, account: tuple[Account, str]
) -> None:
    _, url = account
    workers = [{"url": url}, {"url": url.replace("127.0.0.1", "localhost")}]
    client = await open_native(open_client, stack, url, target={"base_url": None, "workers": workers})
    made = (await client.say("1?")).json
    assert not made["id"].startswith("resp_up")
    assert (await client("GET", f"/v1/responses/{made['id']}")).json == made
