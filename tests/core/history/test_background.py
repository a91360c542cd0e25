"""Responses that run in the background."""

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.errors import StoreError
from asgi_llm.history import background
from asgi_llm.stores.owner import ANYBODY
from asgi_llm.testing import (
    Answer,
    Call,
    Recorded,
    ScriptedUpstream,
    Tokens,
    Wait,
    chat_error,
    chat_events,
    chat_stream,
    chat_text,
    responses_stream,
)


async def till(client: Any, name: str, *states: str) -> Any:
    """The response once it is in one of those states."""
    async with asyncio.timeout(60):
        while True:
            answer = await client("GET", f"/v1/responses/{name}")
            assert answer.status == 200, answer.body
            if answer.json["status"] in states:
                return answer.json
            await asyncio.sleep(0.02)


def numbers(answer: Any) -> list[int]:
    return [event["sequence_number"] for event in answer.events]


async def test_it_is_queued_and_found_when_it_is_done(open_client: Any, store_url: str) -> None:
    go = asyncio.Event()

    async def answer(_request: Recorded) -> Answer:
        await go.wait()
        return chat_text("At last.")

    async with ScriptedUpstream(answer) as upstream:
        client = await open_client(upstream, store=store_url)
        begun = await client.say("Think.", background=True, metadata={"a": "b"})
        assert (begun.status, begun.json["status"], begun.json["background"]) == (200, "queued", True)
        assert (begun.json["output"], begun.json["metadata"]) == ([], {"a": "b"})
        name = begun.json["id"]
        assert (await till(client, name, "in_progress"))["usage"] is None
        early = await client.say("And?", previous_response_id=name)
        assert (early.status, early.code) == (400, "previous_response_not_ended")
        go.set()
        done = await till(client, name, "completed")
        assert (done["id"], done["background"], done["output"][0]["content"][0]["text"]) == (name, True, "At last.")
        assert "background" not in upstream.requests[0].json
        assert (await client.say("And?", previous_response_id=name)).status == 200
        late = await client("POST", f"/v1/responses/{name}/cancel")
        assert (late.status, late.code) == (400, "response_not_cancellable")


@pytest.mark.parametrize("stream", [False, True], ids=["polled", "streamed"])
async def test_it_is_one_exchange(open_client: Any, stack: AsyncExitStack, stream: bool) -> None:
    """For the ledger, for quotas and for whoever wants to hear of it, under the id that the caller was told."""
    settled: list[Exchange] = []
    quota = {"name": "q", "resource": "requests", "window": "day", "limit": 100}
    async with ScriptedUpstream(chat_text("Done.", tokens=Tokens(input=20, output=10))) as upstream:
        target = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": ["chat"]}
        settings = {"targets": {"up": target}, "responses": {"stateful": True}, "ledger": {}, "quotas": [quota]}
        gateway = Gateway(settings, on_settled=settled.append)
        await stack.enter_async_context(gateway.running())
        client = open_client.client(gateway)
        begun = await client.say("Think.", background=True, stream=stream)
        name = begun.json["id"]
        await till(client, name, "completed")
        book, writer = gateway.runtime().quotas, gateway.runtime().ledger
        assert book is not None
        assert writer is not None
        async with asyncio.timeout(20):
            while not settled:
                await asyncio.sleep(0.01)
        await writer.flush()
        made = [row for row in await writer.ledger.rows(ANYBODY) if row.endpoint == "responses"]
    assert [(row.id, row.outcome, row.attempts, row.fresh) for row in made] == [
        (begun.headers["x-llm-request-id"], "ok", 1, 20)
    ]
    assert [exchange.id for exchange in settled if exchange.endpoint == "responses"] == [made[0].id]
    assert (await book._store.balance("q/day@UTC/", 0, time.time())).spent == 1


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_a_stream_is_taken_up_without_gap_or_double(open_client: Any, store_url: str, dialect: str) -> None:
    stream = {"chat": chat_stream, "responses": responses_stream}[dialect]
    async with ScriptedUpstream(stream(["One ", "two ", "three."], split=20)) as upstream:
        client = await open_client(upstream, dialect, store=store_url)
        whole = await client.say("Count.", background=True, stream=True)
        assert whole.text == "One two three."
        assert whole.json["background"] is True
        assert numbers(whole) == list(range(len(whole.events)))
        name = whole.json["id"]
        for after in (-1, 0, 3, len(whole.events) - 2):
            query = "" if after < 0 else f"&starting_after={after}"
            again = await client("GET", f"/v1/responses/{name}?stream=true{query}")
            assert again.events == whole.events[after + 1 :]


async def test_one_that_was_not_streamed_is_told_when_it_has_ended(open_client: Any) -> None:
    go = asyncio.Event()

    async def answer(_request: Recorded) -> Answer:
        await go.wait()
        return chat_text("At last.")

    async with ScriptedUpstream(answer) as upstream:
        client = await open_client(upstream)
        name = (await client.say("Think.", background=True)).json["id"]
        follower = asyncio.create_task(client("GET", f"/v1/responses/{name}?stream=true"))
        await upstream.wait_request()
        go.set()
        told = await follower
        assert (told.events[-1]["type"], told.json["status"], told.text) == (
            "response.completed",
            "completed",
            "At last.",
        )
        refused = await client("GET", f"/v1/responses/{name}?stream=true&starting_after=1")
        assert (refused.status, refused.code) == (400, "response_not_resumable")


async def test_whoever_leaves_may_come_back(open_client: Any) -> None:
    go = asyncio.Event()
    events: list[Any] = chat_events(["One ", "two."])
    events.insert(2, Wait(go))
    async with ScriptedUpstream(Answer.sse(events)) as upstream:
        client = await open_client(upstream)
        exchange = await client.driver.request(
            "POST", "/v1/responses", json={"model": "m", "input": "x", "background": True, "stream": True}
        )
        await exchange.start()
        seen = await exchange.next_chunk()
        name = json.loads(seen.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
        exchange.disconnect()
        await exchange.finished()
        go.set()
        assert (await till(client, name, "completed"))["output"][0]["content"][0]["text"] == "One two."
        again = await client("GET", f"/v1/responses/{name}?stream=true&starting_after=0")
        assert numbers(again) == list(range(1, len(again.events) + 1))


async def test_cancelling(open_client: Any, store_url: str) -> None:
    async with ScriptedUpstream(chat_stream(["One ", Wait(asyncio.Event()), "two."])) as upstream:
        client = await open_client(upstream, store=store_url)
        name = (await client.say("Count.", background=True)).json["id"]
        request = await upstream.wait_request()
        for _ in range(2):
            answer = await client("POST", f"/v1/responses/{name}/cancel")
            assert (answer.status, answer.json["status"], answer.json["id"]) == (200, "cancelled", name)
        async with asyncio.timeout(60):
            await request.disconnected.wait()
        assert (await client("GET", f"/v1/responses/{name}")).json["status"] == "cancelled"
        foreground = await open_client(upstream)
        upstream.push(chat_text("Hi."))
        other = (await foreground.say("x")).json["id"]
        refused = await foreground("POST", f"/v1/responses/{other}/cancel")
        assert (refused.status, refused.code) == (400, "response_not_cancellable")


async def test_cancelled_by_another_process(open_client: Any, sql_url: str) -> None:
    async with ScriptedUpstream(chat_stream(["One ", Wait(asyncio.Event()), "two."])) as upstream:
        one = await open_client(upstream, store=sql_url, background_lease=3)
        two = await open_client(upstream, store=sql_url, background_lease=3)
        name = (await one.say("Count.", background=True, stream=False)).json["id"]
        request = await upstream.wait_request()
        assert (await two("POST", f"/v1/responses/{name}/cancel")).json["status"] == "cancelled"
        async with asyncio.timeout(60):
            await request.disconnected.wait()


async def test_another_process_follows_while_it_runs(open_client: Any, sql_url: str) -> None:
    """Some take it up before there is anything to read, some in the middle, some behind what is there."""
    go = asyncio.Event()
    events: list[Any] = chat_events(["One ", "two ", "three."])
    events.insert(3, Wait(go))
    async with ScriptedUpstream(Answer.sse(events)) as upstream:
        one = await open_client(upstream, store=sql_url)
        two = await open_client(upstream, store=sql_url)
        exchange = await one.driver.request(
            "POST", "/v1/responses", json={"model": "m", "input": "x", "background": True, "stream": True}
        )
        await exchange.start()
        begun = await exchange.next_chunk()
        name = json.loads(begun.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
        places = (0, 2, 5)
        followers = [
            asyncio.create_task(two("GET", f"/v1/responses/{name}?stream=true&starting_after={after}"))
            for after in places
        ]
        await asyncio.sleep(0.4)  # they have read what there is
        go.set()
        rest = await exchange.body()
        await exchange.finished()
        lines = (begun + rest).decode().splitlines()
        whole = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
        for after, follower in zip(places, followers, strict=True):
            assert (await follower).events == whole[after + 1 :]


async def test_a_failure_is_kept_with_its_reason(open_client: Any) -> None:
    async with ScriptedUpstream(lambda _request: chat_error(400, "no such thing")) as upstream:
        client = await open_client(upstream)
        whole = (await client.say("x", background=True)).json["id"]
        failed = await till(client, whole, "failed")
        assert "no such thing" in failed["error"]["message"]
        streamed = await client.say("x", background=True, stream=True)
        assert streamed.events[-1]["type"] == "response.failed"
        assert streamed.json["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"store": False}, "invalid_value"),
        ({"previous_response_id": "resp_x"}, "previous_response_not_found"),
        ({"conversation": "conv_x"}, "conversation_not_found"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "invalid_request"),
    ],
)
async def test_what_is_wrong_is_said_at_once(open_client: Any, body: Any, code: str) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream)
        answer = await client("POST", "/v1/responses", {"model": "m", "input": "x", "background": True, **body})
        assert answer.status in (400, 404)
        assert answer.code == code


async def test_a_log_that_cannot_be_written_does_not_grow_for_ever(
    open_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_GRACE", 0.0)  # nothing will follow
    pieces = ["x" * 1000 for _ in range(50)]
    async with ScriptedUpstream(chat_stream(pieces)) as upstream:
        client = await open_client(upstream, max_history=8192)
        store = client.gateway.runtime().history.store

        async def fail(*_args: Any) -> None:
            raise StoreError

        store.add_events = fail
        told = await client.say("x", background=True, stream=True)
        assert (told.events[-1]["type"], told.json["error"]["code"]) == ("response.failed", "server_is_overloaded")
        assert (await client("GET", f"/v1/responses/{told.json['id']}")).json["status"] == "failed"
        assert client.gateway.runtime().history.runs == {}


async def test_only_so_many_run_at_once(open_client: Any) -> None:
    go = asyncio.Event()
    async with ScriptedUpstream(lambda _request: chat_stream(["One ", Wait(go), "two."])) as upstream:
        client = await open_client(upstream, background_limit=1)
        name = (await client.say("x", background=True)).json["id"]
        refused = await client.say("x", background=True)
        assert (refused.status, refused.code) == (503, "too_many_background_responses")
        go.set()
        await till(client, name, "completed")


async def test_into_a_conversation(open_client: Any, store_url: str) -> None:
    async with ScriptedUpstream(chat_text("Noted.", calls=[Call("add", "{}", "call_1")])) as upstream:
        client = await open_client(upstream, store=store_url)
        conversation = (await client("POST", "/v1/conversations", {})).json["id"]
        name = (await client.say("Note.", background=True, conversation=conversation)).json["id"]
        await till(client, name, "completed")
        listed = (await client("GET", f"/v1/conversations/{conversation}/items?order=asc")).json["data"]
        assert [item["type"] for item in listed] == ["message", "message", "function_call"]


VICTIM = """
import asyncio, sys
from asgi_llm import Gateway, Identity
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import ASGIDriver

async def main():
    target = {"provider": "openai", "base_url": sys.argv[1], "api_key": "k", "dialects": ["chat"]}
    responses = {"stateful": True, "background_lease": 1}
    gateway = Gateway({"targets": {"up": target}, "responses": responses, "store": {"url": sys.argv[2]}})
    scope = {IDENTITY_KEY: Identity(subject="ann", tenant="acme")}
    async with gateway.running():
        for stream in (False, True):
            exchange = await ASGIDriver(gateway.asgi, scope=scope).request(
                "POST", "/v1/responses", json={"model": "m", "input": "x", "background": True, "stream": stream})
            await exchange.start()
            print((await exchange.next_chunk()).decode(), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.once
async def test_a_process_that_is_killed_leaves_nothing_running(open_client: Any, sql_url: str) -> None:
    forever = asyncio.Event()
    async with ScriptedUpstream(lambda _request: chat_stream(["One ", Wait(forever), "two."])) as upstream:
        client = await open_client(upstream, store=sql_url, background_lease=1)
        await client("GET", "/v1/responses/resp_x")  # the tables are there
        command = [sys.executable, "-c", VICTIM, f"{upstream.url}/v1", sql_url]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as victim:
            try:
                await upstream.wait_request(2)
                await asyncio.sleep(1.2)  # the lease is renewed meanwhile
            finally:
                victim.kill()
            told = await asyncio.to_thread(victim.communicate)
        killed = time.monotonic()
        names = {part.split(b'"')[0].decode() for part in told[0].split(b'"id":"')[1:] if part.startswith(b"resp_")}
        assert len(names) == 2
        for name in names:
            failed = await till(client, name, "failed")
            assert failed["error"]["code"] == "server_error"
        assert time.monotonic() - killed < 60
        (streamed,) = [
            answer
            for name in names
            if (answer := await client("GET", f"/v1/responses/{name}?stream=true")).events[-1]["type"]
            == "response.failed"
            and len(answer.events) > 2
        ]
        assert numbers(streamed) == list(range(len(streamed.events)))
