"""What is no sound answer, cut and closed in every way: a named failure, and a connection that is never used again."""

import asyncio
from typing import NamedTuple

import pytest

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.upstream.interface import Timeouts

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


class Case(NamedTuple):
    """``end``: what the server does after ``wire``: "close", "reset" or "stay". ``httpx``: what the other backend
    makes of it, "same" or "lenient" (its parser lets it pass, or fails in another way)."""

    wire: bytes
    cause: Cause = Cause.PROTOCOL
    end: str = "stay"
    httpx: str = "same"


CASES = {
    "garbage": Case(b"\x16\x03\x01\x00garbage\r\n\r\n"),
    "another protocol": Case(b"SSH-2.0-OpenSSH_9.2\r\n", httpx="lenient"),
    "HTTP/0.9 body": Case(b"<html>hello</html>\r\n\r\n"),
    "HTTP/0.9 named": Case(b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", httpx="lenient"),
    "HTTP/2.0": Case(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", httpx="lenient"),
    "HTTP/1.7": Case(b"HTTP/1.7 200 OK\r\nContent-Length: 0\r\n\r\n", httpx="lenient"),
    "HTTP/2 preface": Case(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff", httpx="lenient"),
    "status of two digits": Case(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    "status of four digits": Case(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    "status below 100": Case(b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"),
    "status in words": Case(b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n"),
    "switching protocols": Case(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    "switching without saying to what": Case(b"HTTP/1.1 101 S\r\n\r\nabc"),
    "coding and length": Case(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "length and coding": Case(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": Case(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "two lengths in one": Case(HEAD + b"Content-Length: 5, 6\r\n\r\nhello!"),
    "length below zero": Case(HEAD + b"Content-Length: -1\r\n\r\n"),
    "length with plus": Case(HEAD + b"Content-Length: +1\r\n\r\na"),
    "length in hex": Case(HEAD + b"Content-Length: 0x1\r\n\r\na"),
    "length empty": Case(HEAD + b"Content-Length:\r\n\r\n"),
    "length in words": Case(HEAD + b"Content-Length: one\r\n\r\na"),
    "length over 64 bits": Case(HEAD + b"Content-Length: 99999999999999999999999\r\n\r\na"),
    "coding gzip": Case(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
    "coding identity": Case(HEAD + b"Transfer-Encoding: identity\r\n\r\na"),
    "coding not chunked last": Case(HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\na"),
    "coding twice": Case(HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding with a trick": Case(HEAD + b"Transfer-Encoding: xchunked\r\n\r\na"),
    "coding in HTTP/1.0": Case(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", httpx="lenient"),
    "coding in an interim answer": Case(
        b"HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEXT, httpx="lenient"
    ),
    "bare LF everywhere": Case(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", httpx="lenient"),
    "bare LF in a header": Case(HEAD + b"A: b\nContent-Length: 0\r\n\r\n", httpx="lenient"),
    "bare CR in a header": Case(HEAD + b"A: b\rC: d\r\nContent-Length: 0\r\n\r\n"),
    "folded line": Case(HEAD + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", httpx="lenient"),
    "NUL in a value": Case(HEAD + b"A: b\0c\r\nContent-Length: 0\r\n\r\n"),
    "NUL in a name": Case(HEAD + b"A\0: b\r\nContent-Length: 0\r\n\r\n"),
    "space before the colon": Case(HEAD + b"Content-Length : 0\r\n\r\n"),
    "no colon": Case(HEAD + b"Content-Length 0\r\n\r\n"),
    "no name": Case(HEAD + b": 0\r\n\r\n"),
    "chunk size over 64 bits": Case(CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nabc", httpx="lenient"),
    "chunk size below zero": Case(CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": Case(CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk size empty": Case(CHUNKED + b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size in words": Case(CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n"),
    "chunk size with bare LF": Case(CHUNKED + b"3\nabc\r\n0\r\n\r\n"),
    "chunk longer than it said": Case(CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n", httpx="lenient"),
    "chunk shorter than it said": Case(CHUNKED + b"5\r\nabc\r\n0\r\n\r\n"),
    "trailer broken": Case(CHUNKED + b"0\r\nA b\r\n\r\n"),
    "many headers": Case(HEAD + b"A: b\r\n" * 300 + b"Content-Length: 0\r\n\r\n"),
    "large head": Case(HEAD + b"A: " + b"b" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "endless head": Case(HEAD + b"A: " + b"b" * 150_000),
    "endless reason": Case(b"HTTP/1.1 200 " + b"b" * 150_000),
    "endless interim answers": Case(b"HTTP/1.1 103 Hint\r\nLink: </x>\r\n\r\n" * 5_000, httpx="lenient"),
    "endless empty lines": Case(b"\r\n" * 100_000, httpx="lenient"),
    "endless chunk extension": Case(CHUNKED + b"3;" + b"x" * 150_000, httpx="lenient"),
    "endless trailers": Case(CHUNKED + b"0\r\n" + b"A: b\r\n" * 30_000, httpx="lenient"),
    "closed before a word": Case(b"", Cause.RESET, "close"),
    "reset before a word": Case(b"", Cause.RESET, "reset"),
    "closed in the status line": Case(b"HTTP/1.1 2", Cause.RESET, "close"),
    "closed in the head": Case(HEAD + b"A: b\r\n", Cause.RESET, "close"),
    "reset in the head": Case(HEAD + b"A: b\r\n", Cause.RESET, "reset"),
    "closed after an interim answer": Case(b"HTTP/1.1 100 Go\r\n\r\n", Cause.RESET, "close"),
    "closed in a body with a length": Case(HEAD + b"Content-Length: 9\r\n\r\nabc", Cause.RESET, "close"),
    "reset in a body with a length": Case(HEAD + b"Content-Length: 9\r\n\r\nabc", Cause.RESET, "reset"),
    "closed in a chunk": Case(CHUNKED + b"9\r\nabc", Cause.RESET, "close"),
    "closed between chunks": Case(CHUNKED + b"3\r\nabc\r\n", Cause.RESET, "close"),
    "closed in the last chunk": Case(CHUNKED + b"3\r\nabc\r\n0\r\n", Cause.RESET, "close"),
    "closed in a huge chunk": Case(CHUNKED + b"FFFFFFFFFFFFFFF\r\nabc", Cause.RESET, "close"),
    "reset between chunks": Case(CHUNKED + b"3\r\nabc\r\n", Cause.RESET, "reset"),
    "reset in a body without a length": Case(HEAD + b"\r\nabc", Cause.RESET, "reset"),
}


@pytest.mark.parametrize("step", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name", CASES)
async def test_an_unsound_answer_is_a_named_failure(backend, serve, ask, whole, leakless, name, step):
    case = CASES[name]
    if step and len(case.wire) > 2_000:
        step = 1000

    async def script(peer):
        await peer.request()
        await peer.say(case.wire, step=step)
        if case.end == "stay":
            await peer.gone()
        elif case.end == "reset":
            peer.reset()

    # The other backend takes some for the beginning of an answer and waits: as short as that may be, nothing else is.
    patience = 0.2 if backend.name != "http1" and case.httpx == "lenient" else 30
    limits = Timeouts(connect=30, first_byte=patience, idle=patience)
    async with leakless(), serve(script) as server, backend.client(server.url, timeouts=limits) as client:
        outcome = await _outcome(client, ask, whole)
        if backend.name == "http1" or case.httpx == "same":
            assert isinstance(outcome, UpstreamError), outcome
            assert (outcome.cause, outcome.kind) == (case.cause, Kind.BAD_GATEWAY)
        assert server.accepted == 1
        assert client.in_use == 0
        if backend.name == "http1":
            assert client.open == 0


async def _outcome(client, ask, whole):
    try:
        return await whole(await client.send(ask()))
    except UpstreamError as error:
        return error


SURPLUS = {
    "after a length": HEAD + b"Content-Length: 2\r\n\r\nok" + NEXT,
    "after the last chunk": CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + NEXT,
    "after no content": b"HTTP/1.1 204 No\r\n\r\n" + NEXT,
    "body after no content": b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok",
    "after not modified": b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n" + NEXT,
    "a bit of the next": HEAD + b"Content-Length: 2\r\n\r\nokH",
    "garbage": HEAD + b"Content-Length: 2\r\n\r\nok\0",
    "after close": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok" + NEXT,
}


@pytest.mark.parametrize("step", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name", SURPLUS)
async def test_bytes_after_the_end_never_answer_the_next_request(http1, serve, ask, whole, name, step):
    async def script(peer):
        await peer.request()
        if peer.number == 1:
            await peer.say(SURPLUS[name], step=step)
        else:
            await peer.say(HEAD + b"Content-Length: 5\r\n\r\nclean")
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        answer = await client.send(ask())
        assert await whole(answer) in (b"ok", b"")
        while server.finished == 0:  # the client drops the connection: the script sees it go
            await asyncio.sleep(0.001)
        assert client.open == 0
        assert await whole(await client.send(ask())) == b"clean"


async def test_bytes_after_an_answer_at_the_limit_of_its_head_never_answer_the_next_request(http1, serve, ask, whole):
    first = b"HTTP/1.1 103 Hint\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No\r\nA: b"
    heard = asyncio.Event()

    async def script(peer):
        await peer.request()
        if peer.number == 1:
            await peer.say(first)
            await heard.wait()
            await peer.say(b"\r\n\r\n" + NEXT)
        else:
            await peer.say(HEAD + b"Content-Length: 5\r\n\r\nclean")
        await peer.gone()

    async with serve(script) as server, http1.client(server.url, max_head=len(first) + 4) as client:
        asyncio.get_running_loop().call_later(0.05, heard.set)
        assert (await client.send(ask())).status == 204
        async with asyncio.timeout(20):
            while client.open:
                await asyncio.sleep(0.001)
        assert await whole(await client.send(ask())) == b"clean"


async def test_a_head_just_within_the_limit_is_taken_and_one_byte_more_is_not(http1, serve, ask, whole):
    def wire(size):
        start, end = HEAD + b"A: ", b"\r\nContent-Length: 2\r\n\r\n"
        return start + b"b" * (size - len(start) - len(end)) + end + b"ok"

    for size, step in ((1000, 0), (1000, 7), (1001, 0), (1001, 7)):

        async def script(peer, size=size, step=step):
            await peer.request()
            await peer.say(wire(size), step=step)
            await peer.gone()

        async with serve(script) as server, http1.client(server.url, max_head=1000) as client:
            if size == 1000:
                assert await whole(await client.send(ask())) == b"ok"
            else:
                with pytest.raises(UpstreamError) as caught:
                    await client.send(ask())
                assert caught.value.cause is Cause.PROTOCOL


async def test_what_came_before_a_failure_is_read_before_it_is_raised(backend, serve, ask):
    async def script(peer):
        await peer.request()
        await peer.say(CHUNKED + b"3\r\nabc\r\n")

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert await answer.read() == b"abc"
        for _ in range(2):
            with pytest.raises(UpstreamError) as caught:
                await answer.read()
            assert caught.value.cause is Cause.RESET
        answer.close()
