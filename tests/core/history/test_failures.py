"""What becomes of it when something goes wrong: nothing half, nothing of others, and everybody is told."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

import pytest

from asgi_llm.errors import StoreError
from asgi_llm.stores.memory.responses import MemoryResponses
from asgi_llm.testing import (
    Answer,
    Recorded,
    ScriptedUpstream,
    chat_stream,
    chat_text,
    responses_events,
    responses_stream,
)

T = TypeVar("T")


class Broken(MemoryResponses):
    """Fails when it is told to."""

    reads = writes = False

    async def chain(self, *args: Any) -> Any:
        if self.reads:
            raise StoreError
        return await super().chain(*args)

    async def put(self, *args: Any, **more: Any) -> bool:
        if self.writes:
            raise StoreError
        return await super().put(*args, **more)


@pytest.fixture
def broken() -> Broken:
    return Broken()


async def in_file(url: str, work: Callable[[sqlite3.Connection], T]) -> T:
    """What ``work`` returns, with a connection of its own. It is made in a thread: the gateway may be writing just now,
    and needs the event loop to come to an end."""

    def connected() -> T:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)) as database, database:
            return work(database)

    return await asyncio.to_thread(connected)


def with_store(client: Any, store: Broken) -> Any:
    client.gateway.runtime().history.store = store
    return client


async def test_two_references_exclude_each_other(open_client: Any) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream)
        answer = await client.say("x", previous_response_id="resp_1", conversation="conv_1")
        assert (answer.status, answer.code) == (400, "mutually_exclusive")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"previous_response_id": 5}, "previous_response_id"),
        ({"conversation": 5}, "conversation"),
        ({"store": "yes"}, "store"),
        ({"background": 1}, "background"),
        ({"input": [5]}, "input"),
        ({"truncation": "sometimes"}, "truncation"),
    ],
)
async def test_a_wrong_type_is_named(open_client: Any, body: Any, param: str) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_client(upstream)
        answer = await client("POST", "/v1/responses", {"model": "m", "input": "x", **body})
        assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_a_store_that_cannot_be_read_is_a_503_before_anybody_is_asked(open_client: Any, broken: Broken) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = with_store(await open_client(upstream), broken)
        name = (await client.say("Hello.")).json["id"]
        broken.reads = True
        answer = await client.say("And?", previous_response_id=name)
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert "retry-after" in answer.headers
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_cannot_be_kept_says_so(open_client: Any, broken: Broken, stream: bool) -> None:
    async with ScriptedUpstream(chat_stream(["Hi."]) if stream else chat_text("Hi.")) as upstream:
        client = with_store(await open_client(upstream), broken)
        broken.writes = True
        answer = await client.say("Hello.", stream=stream)
        assert (answer.status, answer.text, answer.json["store"]) == (200, "Hi.", False)
        assert answer.json["status"] == "completed"
        broken.writes = False
        assert (await client("GET", f"/v1/responses/{answer.json['id']}")).status == 404


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_where_keeping_is_required_it_is_an_error(open_client: Any, broken: Broken, dialect: str) -> None:
    answers = {"chat": chat_stream, "responses": responses_stream}
    async with ScriptedUpstream(answers[dialect](["Hi."])) as upstream:
        client = with_store(await open_client(upstream, dialect, required=True), broken)
        broken.writes = True
        answer = await client.say("Hello.", stream=True)
        kinds = [event["type"] for event in answer.events]
        assert kinds[-1] == "response.failed"
        assert "response.completed" not in kinds
        assert {event["response"]["id"] for event in answer.events if "response" in event} == {answer.json["id"]}
        whole = await client.say("Hello.")
        assert (whole.status, whole.code) == (503, "store_unavailable")


async def test_a_broken_answer_is_kept_as_failed_or_not_at_all(open_client: Any) -> None:
    events = responses_events(["Half of", " it."])[:6]

    def answer(request: Recorded) -> Answer:
        return Answer.sse(events) if request.json.get("stream") else Answer.reset()

    async with ScriptedUpstream(answer) as upstream:
        client = await open_client(upstream, "responses")
        answer = await client.say("Hello.", stream=True)
        assert answer.events[-1]["type"] == "response.failed"
        kept = await client("GET", f"/v1/responses/{answer.json['id']}")
        assert kept.json["status"] == "failed"
        failed = await client.say("Hello.")
        assert (failed.status, failed.json.keys()) == (502, {"error"})


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_large_is_not_kept_and_says_so(open_client: Any, stream: bool) -> None:
    text = "long " * 1000
    async with ScriptedUpstream(chat_stream([text]) if stream else chat_text(text)) as upstream:
        client = await open_client(upstream, max_response=2048)
        answer = await client.say("Hello.", stream=stream)
        assert (answer.text, answer.json["store"]) == (text, False)
        assert (await client("GET", f"/v1/responses/{answer.json['id']}")).status == 404


async def test_a_history_that_is_too_long_is_refused(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = await open_client(upstream, max_turns=2)
        name = None
        for _ in range(3):
            answer = await client.say("Hello.", previous_response_id=name)
            name = answer.json["id"]
        refused = await client.say("Hello.", previous_response_id=name)
        assert (refused.status, refused.code) == (400, "context_length_exceeded")
        client = await open_client(upstream, max_history=1024)
        name = (await client.say("x" * 2000)).json["id"]
        refused = await client.say("Hello.", previous_response_id=name)
        assert (refused.status, refused.code) == (400, "context_length_exceeded")


async def test_a_damaged_row_is_a_500_and_nobody_elses_trouble(open_client: Any, sqlite_url: str) -> None:
    pytest.importorskip("sqlalchemy")
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = await open_client(upstream, store=sqlite_url)
        names = [(await client.say("Hello.")).json["id"] for _ in range(2)]
        damage = "UPDATE asgi_llm_responses SET data = ? WHERE id = ?"
        await in_file(sqlite_url, lambda database: database.execute(damage, (b"p{broken", names[0])))
        for answer in (
            await client("GET", f"/v1/responses/{names[0]}"),
            await client.say("And?", previous_response_id=names[0]),
        ):
            assert (answer.status, answer.code) == (500, "stored_data_unreadable")
            assert "broken" not in answer.body.decode()
        assert (await client("GET", f"/v1/responses/{names[1]}")).status == 200
        assert (await client("DELETE", f"/v1/responses/{names[0]}")).status == 200


async def test_what_expired_is_gone(open_client: Any) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        client = await open_client(upstream, retention=100)
        history = client.gateway.runtime().history
        first = (await client.say("Hello.")).json["id"]
        begun = history.now()
        history.now = lambda: begun + 90
        second = (await client.say("And?", previous_response_id=first)).json["id"]
        history.now = lambda: begun + 150
        assert (await client("GET", f"/v1/responses/{first}")).status == 200  # it is still built upon
        history.now = lambda: begun + 200
        for name in (first, second):
            assert (await client("GET", f"/v1/responses/{name}")).code == "response_not_found"


async def test_forgetting_a_user(open_client: Any, store_url: str) -> None:
    async with ScriptedUpstream(chat_text("Hi.")) as upstream:
        ann = await open_client(upstream, store=store_url)
        bob = ann.other(subject="bob")
        hers, his = (await ann.say("Hello.")).json["id"], (await bob.say("Hello.")).json["id"]
        await ann("POST", "/v1/conversations", {})
        assert await ann.gateway.forget(ann.identity) == 2
        assert (await ann("GET", f"/v1/responses/{hers}")).status == 404
        assert (await bob("GET", f"/v1/responses/{his}")).status == 200


async def test_what_is_kept_is_encrypted_where_there_is_a_key(open_client: Any, sqlite_url: str) -> None:
    fernet = pytest.importorskip("cryptography.fernet")
    pytest.importorskip("sqlalchemy")
    old, new = (fernet.Fernet.generate_key().decode() for _ in range(2))
    async with ScriptedUpstream(chat_text("The answer is sealed.")) as upstream:
        client = await open_client(upstream, store=sqlite_url, encryption_keys=[old])
        name = (await client.say("The question is sealed.")).json["id"]
        items = [{"role": "user", "content": "This is sealed."}]
        await client("POST", "/v1/conversations", {"items": items, "metadata": {"word": "sealed"}})
        told = await in_file(sqlite_url, lambda database: "\n".join(database.iterdump()))
        assert "sealed" not in told
        assert b"sealed".hex() not in told.lower()
        both = await open_client(upstream, store=sqlite_url, encryption_keys=[new, old])
        assert (await both.say("And?", previous_response_id=name)).status == 200
        lost = await open_client(upstream, store=sqlite_url, encryption_keys=[new])
        assert (await lost("GET", f"/v1/responses/{name}")).code == "stored_data_unreadable"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_with_words_of_its_own_is_kept_all_the_same(open_client: Any, stream: bool) -> None:
    """Without ids of items, with a status that nobody knows, and without the items at the end of a stream."""
    events: list[Any] = responses_events(["Hi."])
    done = next(event for event in events if event["type"] == "response.output_item.done")
    done["item"]["id"] = None
    last = events[-1]["response"]
    last |= {"status": "finished", "output": [] if stream else [done["item"]]}
    async with ScriptedUpstream(Answer.sse(events) if stream else Answer.json(last)) as upstream:
        client = await open_client(upstream, "responses")
        name = (await client.say("Hello.", stream=stream)).json["id"]
        assert (await client("GET", f"/v1/responses/{name}")).json["output"] == [done["item"]]
        assert (await client.say("And?", previous_response_id=name, stream=stream)).status == 200
        assert upstream.requests[1].json["input"][1] == done["item"]
        null = [{"type": None, "id": None, "role": "user", "content": "x"}]
        assert (await client.say(null)).status == 200
