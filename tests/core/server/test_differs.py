"""Where this protocol and uvicorn's own differ on purpose, and why."""

import asyncio
from typing import Any

import pytest

STREAM = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}


async def both(kit: Any, app: Any, *pieces: bytes) -> tuple[Any, Any]:
    """What comes of bytes after which the connection is closed."""

    async def script(caller: Any) -> None:
        caller.say(*pieces)
        await caller.rest()

    return await kit.play(app, script, kit.protocol), await kit.play(app, script, kit.theirs)


async def test_the_head_leaves_with_the_first_piece(kit: Any) -> None:
    """As the specification of ASGI wants it. So an application that fails in between is told of with a status."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(STREAM)
        raise ValueError("on purpose")

    ours, theirs = await both(kit, app, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert ours.heard.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert theirs.heard.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_caller_of_http_1_0_gets_no_chunks(kit: Any) -> None:
    """Which it could not read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(STREAM)
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    ours, theirs = await both(kit, app, b"GET / HTTP/1.0\r\n\r\n")
    assert ours.heard.endswith(b"connection: close\r\n\r\none two")
    assert b"transfer-encoding: chunked" in theirs.heard


async def test_trailers_are_no_headers(kit: Any) -> None:
    """They come from where nobody checked them, when the request is already answered perhaps."""
    chunks = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-admin: 1\r\n\r\n"
    ours, theirs = await both(kit, kit.echo, chunks, chunks, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert ours.heard == theirs.heard
    names = [dict(scope["headers"]).keys() for scope in ours.seen.scopes]
    assert names == [{b"transfer-encoding"}, {b"transfer-encoding"}, {b"connection"}]


@pytest.mark.parametrize("cut", [False, True])
async def test_a_body_behind_an_upgrade_that_is_not_made(kit: Any, cut: bool) -> None:
    """Java's client asks for HTTP/2 with each first request. uvicorn loses the body, or takes it for a request."""
    head = (
        b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
        b"Content-Length: 5\r\n\r\n"
    )
    last = b"POST /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    async with kit.wired((seen := kit.Seen()).watch(kit.echo)) as wire:
        for piece in [head, b"hello" + last] if cut else [head + b"hello" + last]:
            wire.bring(piece)
            await kit.settled()
        assert wire.written.count(b"HTTP/1.1 200 OK") == 2
        assert wire.closed
    assert [messages[0]["body"] for messages in seen.messages] == [b"hello", b"hi"]
    assert seen.scopes[0]["headers"][2] == (b"upgrade", b"h2c")


async def test_upgrades_that_are_not_made_behind_each_other(kit: Any) -> None:
    one = b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nhi"
    async with kit.wired(kit.echo) as wire:
        wire.bring(one * 50)
        while wire.written.count(b"\r\n\r\nhi") < 50:
            assert not wire.closed
            await kit.settled()


async def test_a_body_that_is_here_need_not_be_asked_for(kit: Any) -> None:
    asks = b"POST / HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"
    ours, theirs = await both(kit, kit.echo, asks)
    assert theirs.heard == b"HTTP/1.1 100 Continue\r\n\r\n" + ours.heard


async def test_a_body_that_nobody_asked_for_ends_the_connection(kit: Any) -> None:
    """The caller may send it, or another request instead: there is no telling which (RFC 9110, 10.1.1)."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with kit.wired(app) as wire:
        wire.bring(b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 50\r\n\r\n")
        await kit.settled()
        assert wire.written.endswith(b"connection: close\r\n\r\n")
        assert wire.closed


async def test_good_requests_in_front_of_a_bad_one_are_answered(kit: Any) -> None:
    good = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"
    ours, theirs = await both(kit, kit.echo, good + good + b"what?\r\n\r\n")
    assert ours.heard == b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-length: 2\r\n\r\nhi" * 2 + theirs.heard
    assert theirs.heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_an_invalid_body_that_nobody_has_asked_for_yet(kit: Any) -> None:
    """The application is not troubled with it; the caller is told the same."""
    chunks = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n"
    ours, theirs = await both(kit, kit.echo, chunks)
    assert ours.heard == theirs.heard
    assert (len(ours.seen.scopes), len(theirs.seen.scopes)) == (0, 1)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_body_that_becomes_invalid(kit: Any, begun: bool) -> None:
    """400 where nothing has been answered yet; else a cut, instead of a second answer within the first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send(STREAM)
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with kit.wired((seen := kit.Seen()).watch(app)) as wire:
        wire.bring(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await kit.settled()
        wire.bring(b"xyz\r\n")
        await kit.settled()
        assert wire.closed
        assert (kit.invalid in wire.written) is not begun
        assert wire.written.count(b"HTTP/1.1") == 1
    assert seen.messages[0][-1] == {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (600, (b"x", b"y")),
        (200, (b"x", b"y\r\nz: 1")),
        (200, (b"x", b"\0")),
        (200, (b"x", b"\x1b")),
        (200, (b"x\n", b"y")),
        (200, (b"", b"y")),
        (200, (b"x y", b"z")),
        (200, (b"x/y", b"z")),
        (200, (b"content-length", b"-1")),
        (200, (b"content-length", b"1_0")),
        (200, (b"content-length", b"three")),
        (200, ("content-type", "text/plain")),
        (200, (b"x",)),
    ],
)
async def test_answers_that_cannot_be_sent(kit: Any, status: int, header: Any) -> None:
    """uvicorn takes no second answer once it was given a head, be it a bad one, and cuts the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [header]})

    ours, _ = await both(kit, app, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert ours.heard.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


@pytest.mark.parametrize("length", [b"3", b"7"])
async def test_lengths_that_are_a_lie(kit: Any, length: bytes) -> None:
    """Not a byte of such an answer leaves where it is known in time."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": b"hello"})

    ours, _ = await both(kit, app, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert ours.heard.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")


async def test_a_failure_after_the_answer_leaves_the_connection_alone(kit: Any) -> None:
    """Another request may run on it."""
    answered, failed = asyncio.Event(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await kit.echo(scope, receive, send)
        await answered.wait()
        failed.append(scope)
        raise ValueError("on purpose")

    async with kit.wired(app) as wire:
        for _ in range(2):
            wire.bring(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi")
        answered.set()
        await kit.settled()
        assert (len(failed), wire.closed) == (2, False)
        assert wire.written.count(b"\r\n\r\nhi") == 2


async def test_heads_are_bounded(kit: Any) -> None:
    async with kit.wired(kit.echo) as wire:
        wire.bring(b"GET / HTTP/1.1\r\n")
        for number in range(100):
            wire.bring(b"x-%d: %b\r\n" % (number, b"y" * 1000))
        await kit.settled()
        assert wire.written.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert wire.closed


async def test_a_target_without_a_path(kit: Any) -> None:
    ours, _ = await both(kit, kit.echo, b"GET http://example.org HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert ours.seen.scopes[0]["path"] == "/"
