"""Connections: who waits for whom, how long, and how they end."""

import asyncio
import contextvars
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import uvicorn

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
SMALL = REQUEST % 2 + b"hi"


# Time


class Loop(asyncio.SelectorEventLoop):
    """One whose time can be set forward."""

    gone_by = 0.0

    def time(self) -> float:
        return super().time() + self.gone_by


async def after(kit: Any, seconds: float) -> None:
    loop: Any = asyncio.get_running_loop()
    for _ in range(int(seconds * 2)):  # in steps, as time goes by
        loop.gone_by += 0.5
        await kit.settled()


def in_time(story: Any) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(story)


def test_an_idle_connection_is_closed_in_time(kit: Any) -> None:
    async def story() -> None:
        async with kit.wired(kit.echo, timeout_keep_alive=5) as wire:
            for _ in range(3):
                wire.bring(SMALL)
                await after(kit, 4)
                assert not wire.closed
            await after(kit, 1.5)
            assert wire.closed

    in_time(story())


@pytest.mark.parametrize("begun", [b"", b"GET / HT", REQUEST % 5])
def test_a_first_request_has_a_minute(kit: Any, begun: bytes) -> None:
    """Also the rest of a body that nobody waits for any more."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def story() -> None:
        async with kit.wired(app, timeout_keep_alive=5) as wire:
            wire.bring(begun)
            await after(kit, 59)
            assert not wire.closed
            await after(kit, 2)
            assert wire.closed

    in_time(story())


def test_a_head_has_a_minute_from_its_first_byte_on(kit: Any) -> None:
    async def story() -> None:
        async with kit.wired(kit.echo, timeout_keep_alive=75) as wire:
            wire.bring(SMALL)
            await after(kit, 74)
            wire.bring(b"GET / HTTP/1.1\r\n")
            await after(kit, 58)
            assert not wire.closed
            await after(kit, 80)
            assert wire.closed

    in_time(story())


def test_an_answer_takes_as_long_as_it_takes(kit: Any) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await go_on.wait()
            await kit.echo(scope, receive, send)

        async with kit.wired(app, timeout_keep_alive=5) as wire:
            wire.bring(SMALL)
            await after(kit, 500)
            assert not wire.closed
            go_on.set()
            await after(kit, 4)
            assert wire.written.endswith(b"hi")
            assert not wire.closed
            await after(kit, 2)
            assert wire.closed

    in_time(story())


def test_no_keeping_alive(kit: Any) -> None:
    async def story() -> None:
        async with kit.wired(kit.echo, timeout_keep_alive=0) as wire:
            wire.bring(SMALL + SMALL)
            await kit.settled()
            assert wire.written.count(b"hi") == 2
            await after(kit, 1)
            assert wire.closed

    in_time(story())


# Who waits for whom


@pytest.mark.parametrize("first", [b"", SMALL], ids=["parsed", "counted"])
async def test_a_body_that_nobody_reads_waits(kit: Any, first: bytes) -> None:
    """With the caller, not in memory; and arrives whole in the end."""
    read = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read.wait()
        await kit.echo(scope, receive, send)

    async with kit.wired(app) as wire:
        if first:
            read.set()
            wire.bring(first)
            await kit.settled()
            read.clear()
        wire.bring(REQUEST % 2_000_000)
        for _ in range(20):
            wire.bring(b"x" * 100_000)
        await kit.settled()
        assert len(wire.held) >= 15
        read.set()
        while wire.held:
            await kit.settled()
        assert wire.written.endswith(b"content-length: 2000000\r\n\r\n" + b"x" * 2_000_000)
        wire.bring(SMALL)
        await kit.settled()
        assert wire.written.endswith(b"content-length: 2\r\n\r\nhi")


async def test_requests_that_wait_for_their_turn_do_not_pile_up(kit: Any) -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await kit.echo(scope, receive, send)

    async with kit.wired(app) as wire:
        for _ in range(10):
            wire.bring(SMALL)
        await kit.settled()
        assert len(wire.held) == 8
        go_on.set()
        while wire.held:
            await kit.settled()
        await kit.settled()
        assert wire.written.count(b"\r\n\r\nhi") == 10


@pytest.mark.parametrize("first", [b"", SMALL], ids=["parsed", "remembered"])
async def test_nothing_is_asked_behind_an_answer_that_closes(kit: Any, first: bytes) -> None:
    paths = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        close = [] if first and len(paths) == 1 else [(b"connection", b"close")]
        await send({"type": "http.response.start", "status": 204, "headers": close})
        await send({"type": "http.response.body"})

    async with kit.wired(app) as wire:
        if first:
            wire.bring(first)
            await kit.settled()
        wire.bring(SMALL + SMALL + SMALL)
        await kit.settled()
        assert wire.closed
    assert len(paths) == 1 + bool(first)


@pytest.mark.parametrize("goes", [False, True])
async def test_an_application_waits_for_a_slow_caller(kit: Any, goes: bool) -> None:
    """Until it reads, or is gone: then what is sent goes nowhere."""
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for number in range(5):
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    async with kit.wired(app) as wire:
        wire.protocol.pause_writing()
        wire.bring(SMALL)
        await kit.settled()
        assert (sent, wire.written) == ([], b"")
        if goes:
            wire.close()
        else:
            wire.protocol.resume_writing()
        await kit.settled()
        assert sent == [0, 1, 2, 3, 4]
        assert (b"1\r\n4\r\n0\r\n\r\n" in wire.written) is not goes


async def test_a_large_answer_through_a_narrow_socket(kit: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")]})
        for number in range(200):
            await send({"type": "http.response.body", "body": b"%09d\n" % number * 10_000, "more_body": True})
        await send({"type": "http.response.body"})

    async with kit.serve(app) as server, kit.call(server.port, limit=1000) as caller:
        caller.say(SMALL)
        heard = await caller.answer()
    assert heard.endswith(b"".join(b"%09d\n" % number * 10_000 for number in range(200)))


@pytest.mark.parametrize("sending", [False, True])
async def test_a_caller_that_goes_is_heard(kit: Any, sending: bool) -> None:
    """By who listens at once; who sends on is not troubled."""
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        if not sending:
            assert (await receive())["type"] == "http.disconnect"
        while not ended.is_set():
            await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
            if not server.server_state.connections:
                ended.set()
            await asyncio.sleep(0)

    async with kit.serve(app) as server:
        async with kit.call(server.port) as caller:
            caller.say(SMALL)
            await caller.until(b"begun")
            caller.writer.transport.abort()
        await asyncio.wait_for(ended.wait(), kit.patience)


async def test_several_tasks_may_listen(kit: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        listening = [asyncio.create_task(receive()) for _ in range(3)]
        await asyncio.sleep(0)
        listening.pop().cancel()
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})
        assert [await task for task in listening] == [{"type": "http.disconnect"}] * 2
        ended.set()

    ended = asyncio.Event()
    async with kit.wired(app) as wire:
        wire.bring(SMALL)
        await kit.settled()
        assert ended.is_set()


# The end


@pytest.mark.parametrize("first", [False, True], ids=["parsed", "remembered"])
async def test_shutting_down_lets_an_answer_end(kit: Any, first: bool) -> None:
    go_on, runs = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.set()
        await go_on.wait()
        await kit.echo(scope, receive, send)

    async with kit.serve(app) as server, kit.call(server.port) as idle, kit.call(server.port) as caller:
        if first:
            go_on.set()
            caller.say(SMALL)
            await caller.answer()
            go_on.clear()
            runs.clear()
        caller.say(SMALL)
        await runs.wait()
        server.should_exit = True
        assert await idle.rest() == b""
        go_on.set()
        assert b"connection: close\r\n\r\nhi" in await caller.rest()


async def test_shutting_down_does_not_wait_for_ever(kit: Any, caplog: Any) -> None:
    runs, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    options = {"timeout_graceful_shutdown": 0, "log_level": "error"}
    async with kit.serve(app, **options) as server, kit.call(server.port) as caller:
        caller.say(SMALL)
        await runs.wait()
        server.should_exit = True
        assert (await caller.rest()).startswith(b"HTTP/1.1 500 ")
    assert cancelled.is_set()
    assert not [record for record in caplog.records if record.exc_info]


async def test_requests_are_counted(kit: Any) -> None:
    """By which uvicorn ends after so many of them."""
    async with kit.serve(kit.echo, limit_max_requests=4) as server, kit.call(server.port) as caller:
        for _ in range(3):
            caller.say(SMALL)
            await caller.answer()
        assert (server.server_state.total_requests, len(server.server_state.tasks)) == (3, 0)
        caller.say(SMALL)
        await caller.rest()
        assert server.server_state.total_requests == 4


async def test_too_many_at_once(kit: Any) -> None:
    go_on, runs = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.set()
        await go_on.wait()
        await kit.echo(scope, receive, send)

    refused = []
    for http in (kit.protocol, kit.theirs):
        go_on.clear()
        runs.clear()
        options = {"limit_concurrency": 2, "date_header": False}
        async with kit.serve(app, http, **options) as server, kit.call(server.port) as first:
            first.say(SMALL)
            await runs.wait()
            async with kit.call(server.port) as second:
                second.say(SMALL)
                refused.append(await second.rest())
            go_on.set()
            await first.answer()
    assert refused[0].startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert refused[0] == refused[1]


# Around it


async def test_a_websocket_is_handed_over(kit: Any) -> None:
    """Also on a connection that has had requests, with what uvicorn's protocol for WebSockets makes of it."""
    websockets = pytest.importorskip("websockets.asyncio.client")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await kit.echo(scope, receive, send)
            return
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        message = await receive()
        said = f"{scope['path']} {scope['query_string'].decode()} {message['text']}"
        await send({"type": "websocket.send", "text": said})
        await send({"type": "websocket.close"})

    async with kit.serve(app, ws=WEBSOCKETS) as server:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/a%20b?c=d") as socket:
            await socket.send("hello")
            assert await socket.recv() == "/a b c=d hello"
        async with kit.call(server.port) as caller:
            caller.say(SMALL)
            await caller.answer()
            caller.say(UPGRADE)
            await caller.until(b"HTTP/1.1 101 Switching Protocols\r\n")


UPGRADE = (
    b"GET /x HTTP/1.1\r\nhost: a\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)
WEBSOCKETS = "websockets-sansio" if "websockets-sansio" in uvicorn.config.WS_PROTOCOLS else "auto"


async def test_a_websocket_does_not_overtake(kit: Any) -> None:
    """It has no place behind a request that is not answered yet."""
    async with kit.serve(kit.echo, ws=WEBSOCKETS) as server, kit.call(server.port) as caller:
        caller.say(SMALL + UPGRADE)
        heard = await caller.rest()
    assert heard.index(b"\r\n\r\nhi") < heard.index(b"HTTP/1.1 400 Bad Request")


async def test_tls(kit: Any, authority: Any, tmp_path: Path) -> None:
    seen = kit.Seen()
    chain = authority.chain(tmp_path, "127.0.0.1")
    context = ssl.create_default_context(cadata=authority.pem)
    options = {"ssl_certfile": str(chain), "ssl_keyfile": str(chain)}
    async with kit.serve(seen.watch(kit.echo), **options) as server, kit.call(server.port, ssl=context) as caller:
        for size in (2, 300_000, 2):
            caller.say(REQUEST % size + b"x" * size)
            assert (await caller.answer()).endswith(b"\r\n\r\n" + b"x" * size)
    assert {scope["scheme"] for scope in seen.scopes} == {"https"}


async def test_a_unix_socket(kit: Any, tmp_path: Path) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await kit.echo(scope, receive, send)

    for http in (kit.protocol, kit.theirs):
        config = uvicorn.Config(app, http=http, lifespan="off", log_config=None, proxy_headers=False, ws="none")
        config.load()
        path = str(tmp_path / "socket")
        made = config.http_protocol_class

        def protocol(made: Any = made, config: Any = config) -> Any:
            return made(config=config, server_state=uvicorn.server.ServerState(), app_state={})

        async with await asyncio.get_running_loop().create_unix_server(protocol, path):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(SMALL)
            assert await reader.readuntil(b"\r\n\r\nhi")
            writer.close()
    assert [scope["server"] for scope in scopes] == [(path, None)] * 2
    assert [scope["client"] for scope in scopes] == [None] * 2


async def test_the_loop_may_make_tasks_of_its_own_kind(kit: Any) -> None:
    class Watched(asyncio.Task[Any]):
        pass

    kinds = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kinds.append(type(asyncio.current_task()))
        await kit.echo(scope, receive, send)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work, **options: Watched(work, loop=loop, **options))
    try:
        async with kit.wired(app) as wire:
            wire.bring(SMALL)
            await kit.settled()
    finally:
        loop.set_task_factory(None)
    assert kinds == [Watched]


KEPT: contextvars.ContextVar[str] = contextvars.ContextVar("kept", default="nothing")


async def test_requests_have_contexts_of_their_own(kit: Any) -> None:
    found = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(KEPT.get())
        KEPT.set(scope["path"])
        await kit.echo(scope, receive, send)

    async with kit.wired(app) as wire:
        for _ in range(3):
            wire.bring(SMALL)
            await kit.settled()
    assert found == ["nothing"] * 3


def test_uvloop(kit: Any) -> None:
    """The loop that servers run on."""
    uvloop = pytest.importorskip("uvloop")

    async def story() -> None:
        async with kit.serve(kit.echo) as server, kit.call(server.port) as caller:
            for size in (2, 70_000, 1_000_000, 2, 0):
                caller.say(REQUEST % size + b"x" * size)
                assert (await caller.answer()).endswith(b"\r\n\r\n" + b"x" * size)
            caller.say(SMALL * 20)
            while caller.heard.count(b"\r\n\r\nhi") < 20:
                assert await caller.hear()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_failures_are_told_in_the_log_of_the_server(kit: Any, caplog: Any) -> None:
    async with kit.wired(kit.echo) as wire:
        with caplog.at_level(logging.WARNING, "uvicorn.error"):
            wire.bring(b"what?\r\n\r\n")
    assert "Invalid HTTP request received." in caplog.messages
