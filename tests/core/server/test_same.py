"""Whatever is said and answered: the application sees and the caller gets what uvicorn's own protocol gives them."""

import asyncio
import logging
from typing import Any

import pytest


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the body it gets."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    text = scope["method"].encode() + b" " + body
    headers = [(b"Content-Type", b"text/plain"), (b"content-length", b"%d" % len(text)), (b"x-Odd", b"a\tb")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Answers in pieces whose length it does not say."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for piece in (b"data: 1\n\n", b"", b"x" * 70_000, b"data: 2\n\n"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def answering(status: int, *headers: tuple[bytes, bytes], body: bytes = b"", start: bool = True) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if start:
            await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


GET = b"GET /one HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n%b"
LAST = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


SINGLE = {
    "get": GET,
    "post": post(b"hello"),
    "large": post(b"x" * 300_000),
    "empty": post(b""),
    "upper": b"POST /x HTTP/1.1\r\nHOST: A\r\nX-ONE:   spaces  \r\nCONTENT-LENGTH: 2\r\n\r\nhi",
    "twice": b"GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1\r\nCookie: b=2\r\n\r\n",
    "chunked": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
    "line before": b"\r\n\r\n" + GET,
    "query": b"GET /a/b?c=d&e=%20f?g HTTP/1.1\r\nhost: a\r\n\r\n",
    "empty query": b"GET /a? HTTP/1.1\r\nhost: a\r\n\r\n",
    "percent": b"GET /a%20b/%C3%A9/%ff/%2f HTTP/1.1\r\nhost: a\r\n\r\n",
    "fragment": b"GET /a?b#c HTTP/1.1\r\nhost: a\r\n\r\n",
    "two slashes": b"GET //a//b HTTP/1.1\r\nhost: a\r\n\r\n",
    "absolute": b"GET http://example.org:80/a/b?c=d HTTP/1.1\r\nhost: a\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "odd method": b"PROPFIND / HTTP/1.1\r\nhost: a\r\n\r\n",
    "value in latin-1": b"GET / HTTP/1.1\r\nhost: a\r\nx: \xe9\r\n\r\n",
    "empty value": b"GET / HTTP/1.1\r\nhost: a\r\nx:\r\ny: \r\n\r\n",
    "zeros": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0002\r\n\r\nhi",
    "h2c": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\r\n",
    "a WebSocket that nobody speaks": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("app", [echo, stream], ids=["echo", "stream"])
async def test_requests(kit: Any, name: str, app: Any) -> None:
    """Each alone, then again on the same connection, then all at once behind each other."""
    request = SINGLE[name]
    if app is stream and name == "large":
        return  # it reads one piece only, and how large that is nobody can say

    async def script(caller: Any) -> None:
        for _ in range(3):
            caller.say(request)
            await caller.answer()
        caller.say(LAST)
        await caller.rest()

    told = await kit.same(app, script)
    assert len(told.seen.scopes) == 4


@pytest.mark.parametrize("name", [name for name, request in SINGLE.items() if b"\r\nupgrade:" not in request])
async def test_requests_behind_each_other(kit: Any, name: str) -> None:
    async def script(caller: Any) -> None:
        caller.say(SINGLE[name] * 3 + LAST)
        await caller.rest()

    told = await kit.same(echo, script)
    assert len(told.seen.scopes) == 4


ENDING = {
    "close": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "close among others": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: x, Close\r\n\r\n",
    "close, and more": b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" + GET,
    "http 1.0": b"POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\nhi",
    "http 1.0 that would stay": b"POST / HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi",
    "garbage": b"what is this\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "space in a name": b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nhost: x\r\n y\r\n\r\n",
    "nul in a value": b"GET / HTTP/1.1\r\nhost: x\0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi",
    "length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\nhi",
    "huge length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\nhi",
    "target with a letter": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n",
    "connect": b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ENDING)
async def test_requests_that_end_a_connection(kit: Any, name: str) -> None:
    async def script(caller: Any) -> None:
        caller.say(ENDING[name])
        await caller.rest()

    await kit.same(echo, script)


@pytest.mark.parametrize("name", ENDING)
async def test_they_end_it_after_a_good_one(kit: Any, name: str) -> None:
    async def script(caller: Any) -> None:
        caller.say(post(b"hello"))
        await caller.answer()
        caller.say(ENDING[name])
        await caller.rest()

    await kit.same(echo, script)


LENGTH = (b"content-length", b"5")
ANSWERS = {
    "plain": answering(200, LENGTH, body=b"hello"),
    "without headers": answering(200, body=b"hello"),
    "created": answering(201, LENGTH, body=b"hello"),
    "status without a name": answering(299, LENGTH, body=b"hello"),
    "no content": answering(204),
    "not modified": answering(304, (b"etag", b'"x"')),
    "closing": answering(200, LENGTH, (b"connection", b"Close"), body=b"hello"),
    "chunked by itself": answering(200, (b"Transfer-Encoding", b"Chunked"), body=b"hello"),
    "two of a name": answering(200, LENGTH, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), body=b"hello"),
    "empty value": answering(200, LENGTH, (b"x", b""), body=b"hello"),
    "per cent": answering(200, LENGTH, (b"x%25", b"100%"), body=b"hello"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_answers(kit: Any, name: str, method: bytes) -> None:
    async def script(caller: Any) -> None:
        caller.say(LAST.replace(b"GET", method))
        await caller.rest()

    await kit.same(ANSWERS[name], script)


async def test_headers_of_the_server_itself(kit: Any) -> None:
    async def script(caller: Any) -> None:
        caller.say(post(b"hi") + LAST)
        await caller.rest()

    told = await kit.same(echo, script, headers=[("X-From", "100% here"), ("via", "x")])
    assert told.heard.count(b"server: uvicorn\r\nx-from: 100% here\r\nvia: x\r\n") == 2


async def test_a_caller_that_waits_to_be_asked_for_its_body(kit: Any) -> None:
    async def script(caller: Any) -> None:
        head, _, body = post(b"hello").partition(b"\r\n\r\n")
        caller.say(head, b"\r\nExpect: 100-Continue\r\n\r\n")
        await caller.until(b"HTTP/1.1 100 Continue\r\n\r\n")
        caller.say(body, LAST)
        await caller.rest()

    told = await kit.same(echo, script)
    assert told.heard.count(b"POST hello") == 1


async def test_a_caller_that_goes_while_it_is_listened_to(kit: Any) -> None:
    began, heard = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"a part"
        began.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        await receive()
        await send({"type": "http.response.start", "status": 200})  # which goes nowhere, and fails at nothing
        await send({"type": "http.response.body", "body": b"x"})
        heard.set()

    async def script(caller: Any) -> None:
        began.clear()
        heard.clear()
        caller.say(POST % (50, b"a part"))
        await began.wait()
        caller.writer.transport.abort()
        await heard.wait()

    await kit.same(app, script)


async def test_an_application_that_answers_before_it_has_read(kit: Any) -> None:
    """What is left of the body is swallowed, and the connection goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"large"})

    async def script(caller: Any) -> None:
        for _ in range(3):
            caller.say(POST % (400_000, b"x" * 1000))
            await caller.answer()
            caller.say(b"x" * 399_000)
        caller.say(LAST)
        await caller.rest()

    told = await kit.same(app, script)
    assert [scope["path"] for scope in told.seen.scopes] == ["/one", "/one", "/one", "/last"]


async def test_receive_after_the_answer(kit: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)
        assert await receive() == {"type": "http.disconnect"}

    async def script(caller: Any) -> None:
        caller.say(post(b"hi") + LAST)
        await caller.rest()

    told = await kit.same(app, script)
    assert [len(messages) for messages in told.seen.messages] == [2, 2]


async def fails(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("on purpose")


async def exits(scope: Any, receive: Any, send: Any) -> None:
    raise SystemExit(3)


async def returns(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def begins(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})


async def begins_and_fails(scope: Any, receive: Any, send: Any) -> None:
    await begins(scope, receive, send)
    raise ValueError("on purpose")


async def body_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def twice(scope: Any, receive: Any, send: Any) -> None:
    await begins(scope, receive, send)
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize("app", [fails, exits, returns, begins, begins_and_fails, body_first, twice])
async def test_applications_that_fail(kit: Any, app: Any, caplog: Any) -> None:
    async def script(caller: Any) -> None:
        caller.say(post(b"hi"))
        await caller.rest()

    logged = []
    for http in (kit.protocol, kit.theirs):
        caplog.clear()
        told = await kit.play(app, script, http, log_level="error")
        logged.append((told.heard, [record.getMessage() for record in caplog.records]))
    assert logged[0] == logged[1]
    assert logged[0][1]


async def test_lines_in_the_access_log(kit: Any, caplog: Any) -> None:
    async def script(caller: Any) -> None:
        caller.say(b"GET /a%20b?c=d HTTP/1.1\r\nhost: a\r\n\r\n" + post(b"hi") + ENDING["http 1.0"])
        await caller.rest()

    lines = []
    for http in (kit.protocol, kit.theirs):
        caplog.clear()
        with caplog.at_level(logging.INFO, "uvicorn.access"):
            await kit.play(echo, script, http, log_level="info", access_log=True)
        found = [record for record in caplog.records if record.name == "uvicorn.access"]
        # A formatter of uvicorn's takes the arguments apart.
        lines.append([(record.msg, record.args[1:], record.args[0].count(":")) for record in found])
    assert lines[0] == lines[1]
    assert [args[1] for _, args, _ in lines[0]] == ["/a%20b?c=d", "/one", "/"]


async def test_a_root_path(kit: Any) -> None:
    async def script(caller: Any) -> None:
        caller.say(b"GET /a%20b HTTP/1.1\r\nhost: a\r\n\r\n" + LAST)
        await caller.rest()

    told = await kit.same(echo, script, root_path="/below")
    assert told.seen.scopes[0]["raw_path"] == b"/below/a%20b"


async def test_what_the_lifespan_keeps(kit: Any) -> None:
    """Each request has a copy of its own of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["kept"] = "all the time"
            for kind in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{kind}"
                await send({"type": f"lifespan.{kind}.complete"})
            return
        seen.append(dict(scope["state"]))
        scope["state"]["kept"] = "by one request"
        await echo(scope, receive, send)

    for http in (kit.protocol, kit.theirs):
        seen: list[Any] = []
        async with kit.serve(app, http, lifespan="on") as server, kit.call(server.port) as caller:
            for _ in range(3):
                caller.say(post(b"hi"))
                await caller.answer()
        assert seen == [{"kept": "all the time"}] * 3
