"""The driver does to an app what servers and clients do, and catches an app that breaks the rules."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from asgi_llm.testing import ASGIDriver, ClientGoneError
from asgi_llm.types import ASGIApp, Message, Receive, Scope, Send


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends back the pieces of the request body as they come."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"1"), (b"a", b"2")]})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        if not more:
            return


def says(*messages: Message) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def start(status: Any = 200, headers: Any = (), **rest: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers, **rest}


def body(data: Any = b"", more_body: Any = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more_body}


async def test_a_whole_request() -> None:
    exchange = await ASGIDriver(echo).request("POST", "/a", {"X-A": "1"}, b"hello")
    head = await exchange.start()
    assert (head.status, head.header("A"), head.header("b")) == (200, "1, 2", None)
    assert await exchange.body() == b"hello"
    await exchange.finished()
    assert [message["type"] for message in exchange.messages] == ["http.response.start", "http.response.body"]


async def test_the_scope_is_what_servers_give() -> None:
    driver = ASGIDriver(echo, scope={"root_path": "/sub"})
    exchange = await driver.request("POST", "/a%20b?q=%41", {"X-A": "1"}, json={"a": 1}, scope={"client": None})
    scope = exchange.scope
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"q=%41")
    assert (scope["root_path"], scope["client"]) == ("/sub", None)
    assert dict(scope["headers"]) == {
        b"x-a": b"1",
        b"content-type": b"application/json",
        b"host": b"testserver",
        b"content-length": b"8",
    }
    assert await exchange.json() == {"a": 1}


async def test_body_in_pieces_and_held_back() -> None:
    exchange = await ASGIDriver(echo).request("POST", "/", body=[b"a", b"b"])
    assert [await exchange.next_chunk() for _ in range(3)] == [b"a", b"b", b""]

    held = await ASGIDriver(echo).request("POST", "/", hold_body=True)
    await held.start()
    held.send_body(b"one")
    assert await held.next_chunk() == b"one"
    held.send_body(b"two", more=False)
    assert await held.body() == b"two"
    await held.finished()


async def test_disconnect_is_delivered_at_once_and_again() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        heard.extend([(await receive())["type"], (await receive())["type"], (await receive())["type"]])

    exchange = await ASGIDriver(app).request()
    await exchange.start()
    exchange.disconnect()
    await exchange.finished()
    assert heard == ["http.request", "http.disconnect", "http.disconnect"]


async def test_disconnect_before_the_body_is_taken_loses_the_body() -> None:
    exchange = await ASGIDriver(echo).request("POST", "/", body=b"lost")
    exchange.disconnect()
    await exchange.finished()
    assert await exchange.body() == b""


async def test_a_whole_answer_ends_the_wait_for_a_disconnect() -> None:
    """As servers do: after the last piece ``receive`` tells a disconnect."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body())
        assert (await receive())["type"] == "http.disconnect"

    exchange = await ASGIDriver(app).request()
    await exchange.finished()


async def test_a_slow_reader_blocks_send() -> None:
    exchange = await ASGIDriver(says(start(), body(b"a", True), body(b"b"))).request()
    exchange.block_sends()
    await exchange.wait_blocked()
    assert exchange.messages == []
    exchange.release_sends()
    await exchange.finished()
    assert await exchange.body() == b"ab"


@pytest.mark.parametrize("rule", ["return", "raise"])
async def test_a_blocked_send_after_disconnect(rule: Any) -> None:
    outcomes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start())
            outcomes.append("return")
            await send(body())
        except OSError:
            outcomes.append("raise")
            raise

    exchange = await ASGIDriver(app, after_disconnect=rule).request()
    exchange.block_sends()
    await exchange.wait_blocked()
    exchange.disconnect()
    await exchange.finished()
    assert outcomes == [rule]
    assert exchange.messages == []


async def test_the_rule_after_disconnect_can_be_set_for_one_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        with pytest.raises(ClientGoneError):
            await send(start())

    exchange = await ASGIDriver(app).request(after_disconnect="raise")
    exchange.disconnect()
    await exchange.finished()


async def test_what_the_app_raises_is_raised_wherever_the_test_waits() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"half", True))
        raise LookupError("broken")

    exchange = await ASGIDriver(app).request()
    assert (await exchange.start()).status == 200
    assert await exchange.next_chunk() == b"half"
    with pytest.raises(LookupError, match="broken"):
        await exchange.next_chunk()
    with pytest.raises(LookupError, match="broken"):
        await exchange.body()
    with pytest.raises(LookupError, match="broken"):
        await exchange.finished()


async def test_waiting_has_an_end_and_says_for_what() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    exchange = await ASGIDriver(app).request("GET", "/slow")
    with pytest.raises(AssertionError, match=r"GET /slow: waiting for http.response.start: .* within 0.01 s"):
        await exchange.start(seconds=0.01)
    await exchange.aclose()


async def test_cancelling_is_told_from_being_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def suicide(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    exchange = await ASGIDriver(app).request()
    exchange.cancel()
    await exchange.finished()
    with pytest.raises(AssertionError, match="not by its server"):
        await (await ASGIDriver(suicide).request()).finished()


ILLEGAL: list[tuple[list[Message], str]] = [
    ([], "without http.response.start"),
    ([start()], "before the last piece"),
    ([start(), body(b"a", True)], "before the last piece"),
    ([body()], "body before http.response.start"),
    ([start(), start()], "second http.response.start"),
    ([start(), body(), body()], "after the last piece"),
    ([start(), body("text")], "must be bytes, not str"),
    ([start(), body(None)], "must be bytes, not NoneType"),
    ([start(), body(b"", None)], "more_body must be a bool"),
    ([start("200")], "status must be an int"),
    ([start(99)], "status must be an int of 200 to 599"),
    ([start(headers=[("a", b"b")])], "must be bytes"),
    ([start(headers=[(b"A", b"b")])], "lower case"),
    ([start(headers=[(b"a", b"b\r\nc: d")])], "line end in a header"),
    ([start(headers=[(b"content-length", b"1"), (b"content-length", b"2")])], "several content-length"),
    ([start(headers=[(b"content-length", b"x")])], "not a number"),
    ([start(headers=[(b"content-length", b"1")]), body(b"ab")], "more body"),
    ([start(headers=[(b"content-length", b"3")]), body(b"ab")], "2 bytes of body, content-length 3"),
    ([start(204), body(b"a")], "a body with status 204"),
    ([start(), {"type": "http.response.trailers", "headers": []}], "did not announce"),
    ([start(trailers=True), {"type": "http.response.trailers", "headers": []}], "before the last piece"),
    ([start(trailers=True), body(), body()], "after the last piece"),
    ([{"type": "http.response.push", "path": "/"}], "not offered by this server"),
    ([{"body": b""}], "needs a type"),
]


@pytest.mark.parametrize(("messages", "rule"), ILLEGAL, ids=[rule for _, rule in ILLEGAL])
async def test_a_broken_rule_is_named(messages: list[Message], rule: str) -> None:
    exchange = await ASGIDriver(says(*messages)).request()
    with pytest.raises(AssertionError, match=rule):
        await exchange.finished()


async def test_a_broken_rule_is_reported_even_if_the_app_swallows_the_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(body("text"))
        except AssertionError:
            await send(body(b"fine"))

    exchange = await ASGIDriver(app).request()
    with pytest.raises(AssertionError, match="must be bytes"):
        await exchange.finished()


@pytest.mark.parametrize(
    "messages",
    [
        [start(headers=[(b"content-length", b"2")]), body(b"ab")],
        [start(204), body()],
        [start(trailers=True), body(b"a"), {"type": "http.response.trailers", "headers": [(b"x", b"y")]}],
        [{"type": "http.response.early_hint", "links": []}, start(), body()],
    ],
)
async def test_what_is_legal_passes(messages: list[Message]) -> None:
    scope = {"extensions": {"http.response.early_hint": {}, "http.response.trailers": {}}}
    exchange = await ASGIDriver(says(*messages), scope=scope).request()
    await exchange.finished()


async def test_an_answer_to_head_tells_the_length_of_the_body_it_leaves_out() -> None:
    exchange = await ASGIDriver(says(start(headers=[(b"content-length", b"99")]), body())).request("HEAD")
    await exchange.finished()


# Lifespan.


def with_lifespan(log: list[str], *, startup: str = "complete", shutdown: str = "complete") -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            log.append(scope["state"]["db"])
            scope["state"]["db"] = "changed by one request"
            await echo(scope, receive, send)
            return
        for step, outcome in (("startup", startup), ("shutdown", shutdown)):
            assert (await receive())["type"] == f"lifespan.{step}"
            log.append(step)
            scope["state"]["db"] = "opened"
            await send({"type": f"lifespan.{step}.{outcome}", "message": "no database"})

    return app


async def test_lifespan_surrounds_the_requests_and_gives_them_state() -> None:
    log: list[str] = []
    driver = ASGIDriver(with_lifespan(log))
    async with driver.lifespan():
        for _ in range(2):
            await (await driver.request()).finished()
        assert log == ["startup", "opened", "opened"]
    assert log[3:] == ["shutdown"]


async def test_requests_that_still_run_are_ended_before_the_shutdown() -> None:
    log: list[str] = []
    driver = ASGIDriver(with_lifespan(log))
    async with driver.lifespan():
        exchange = await driver.request("POST", hold_body=True)
        await exchange.start()
    await exchange.finished()
    assert log[-1] == "shutdown"


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("http only")
    await echo(scope, receive, send)


@pytest.mark.parametrize(
    ("app", "error", "message"),
    [
        (lambda: with_lifespan([], startup="failed"), AssertionError, "lifespan.startup.failed: no database"),
        (lambda: with_lifespan([], shutdown="failed"), AssertionError, "lifespan.shutdown.failed: no database"),
        (lambda: says(start(404)), AssertionError, "illegal ASGI: http.response.start in startup"),
        (lambda: never, AssertionError, r"waiting for lifespan.startup.complete: .* 0.2 s"),
        (lambda: refuses, ValueError, "http only"),
    ],
)
async def test_a_lifespan_that_fails_fails_the_test(
    app: Callable[[], ASGIApp], error: type[Exception], message: str
) -> None:
    async def live() -> None:
        async with ASGIDriver(app()).lifespan(seconds=0.2):
            pass

    with pytest.raises(error, match=message):
        await live()


async def test_an_app_without_lifespan_can_be_driven() -> None:
    driver = ASGIDriver(refuses)
    async with driver.lifespan(required=False):
        exchange = await driver.request("POST", body=b"x")
        assert await exchange.body() == b"x"
        assert "state" not in exchange.scope


async def test_streaming_is_seen_piece_by_piece() -> None:
    gate = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        await gate.wait()
        yield b"two"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        async for piece in pieces():
            await send(body(piece, True))
        await send(body())

    exchange = await ASGIDriver(app).request()
    assert await exchange.next_chunk() == b"one"
    gate.set()
    assert await exchange.next_chunk() == b"two"
    assert await exchange.next_chunk() == b""
