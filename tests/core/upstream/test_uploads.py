"""Bodies that are sent while they arrive, by both backends on both event loops."""

import asyncio

import pytest

from asgi_llm.errors import Cause, ClientError, UpstreamError
from asgi_llm.upstream.interface import Timeouts, UpstreamRequest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Source:
    """Hands out what it is given, piece by piece; an exception is raised, an event waited for."""

    def __init__(self, *steps, length=None):
        self.steps = steps
        self.length = length
        self.begun = 0
        self.left = []

    def begin(self):
        self.begun += 1
        self.left = list(self.steps)

    async def read(self):
        if not self.left:
            return b""
        step = self.left[0]
        if isinstance(step, asyncio.Event):
            await step.wait()
            self.left.pop(0)
            return await self.read()
        self.left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def post(source, **more):
    return UpstreamRequest(b"POST", b"/files", [(b"content-type", b"text/x")], source=source, **more)


async def chunked(peer):
    """Head and body of a request in chunks."""
    head = await peer.reader.readuntil(b"\r\n\r\n")
    body = b""
    while size := int(await peer.reader.readuntil(b"\r\n"), 16):
        body += await peer.reader.readexactly(size)
        assert await peer.reader.readexactly(2) == b"\r\n"
    assert await peer.reader.readexactly(2) == b"\r\n"
    return head, body


async def test_of_known_length(backend, serve, whole):
    seen = []

    async def script(peer):
        for _ in range(2):
            seen.append(await peer.request())
            await peer.say(OK)

    async with serve(script) as server, backend.client(server.url) as client:
        for _ in range(2):
            answer = await client.send(post(Source(b"a" * 300_000, b"b", length=300_001)))
            assert await whole(answer) == b"ok"
    if backend.name == "http1":
        assert server.accepted == 1  # the connection serves on
    for request in seen:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/files HTTP/1.1\r\n")
        assert b"content-length: 300001" in head.lower()
        assert b"transfer-encoding" not in head.lower()
        assert body == b"a" * 300_000 + b"b"


async def test_of_unknown_length(backend, serve, whole):
    seen = []

    async def script(peer):
        for _ in range(2):
            seen.append(await chunked(peer))
            await peer.say(OK)

    async with serve(script) as server, backend.client(server.url) as client:
        for _ in range(2):
            assert await whole(await client.send(post(Source(b"abc", b"d" * 70_000)))) == b"ok"
    for head, body in seen:
        assert b"transfer-encoding: chunked" in head.lower()
        assert b"content-length" not in head.lower()
        assert body == b"abc" + b"d" * 70_000


async def test_what_breaks_the_source_off_closes_the_connection(backend, serve):
    gone = asyncio.Event()

    async def script(peer):
        await peer.gone()
        gone.set()

    async with serve(script) as server, backend.client(server.url) as client:
        with pytest.raises(ClientError, match="too large"):
            await client.send(post(Source(b"a", ClientError("too large"))))
        async with asyncio.timeout(60):
            await gone.wait()


async def test_a_cancelled_upload_closes_the_connection(backend, serve):
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await peer.gone()
        gone.set()

    async with serve(script) as server, backend.client(server.url) as client:
        task = asyncio.create_task(client.send(post(Source(b"a", asyncio.Event()))))
        async with asyncio.timeout(60):
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone.wait()


async def test_an_early_answer_is_heard(http1, serve, whole):
    """httpx reads no answer before all is sent; there the upstream's closing ends it."""
    never = asyncio.Event()

    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno")
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        for _ in range(2):
            answer = await client.send(post(Source(b"a", never)))
            assert answer.status == 413
            assert await whole(answer) == b"no"
        assert client.open == 0
    assert server.accepted == 2  # a connection with half a request on it serves no other


async def test_a_slow_source_is_not_the_upstreams_fault_and_a_slow_upstream_is(backend, serve, whole):
    go = asyncio.Event()

    async def script(peer):
        await chunked(peer)
        if peer.number == 1:
            await peer.say(OK)
        await peer.gone()

    waits = Timeouts(connect=5, first_byte=0.2, idle=0.2, total=0)
    async with serve(script) as server, backend.client(server.url) as client:
        asyncio.get_running_loop().call_later(0.5, go.set)
        assert await whole(await client.send(post(Source(b"a", go, b"b"), timeouts=waits))) == b"ok"
    async with serve(script) as server, backend.client(server.url) as client:
        server.accepted = 1
        with pytest.raises(UpstreamError) as caught:
            await client.send(post(Source(b"a", b"b"), timeouts=waits))
    assert caught.value.cause is Cause.FIRST_BYTE_TIMEOUT


async def test_all_of_it_has_a_limit(backend, serve):
    async def script(peer):
        await peer.gone()

    waits = Timeouts(connect=5, first_byte=5, idle=5, total=0.2)
    async with serve(script) as server, backend.client(server.url) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.send(post(Source(b"a", asyncio.Event()), timeouts=waits))
    assert caught.value.cause is Cause.TOTAL_TIMEOUT


async def test_a_connection_that_had_gone_stale_is_no_failure(http1, serve, whole):
    async def script(peer):
        await peer.request()
        await peer.say(OK)
        if peer.number == 1:
            await peer.reader.readexactly(1)
            peer.reset()

    source = Source(b"abc", length=3)
    async with serve(script) as server, http1.client(server.url) as client:
        assert await whole(await client.send(post(source))) == b"ok"
        assert await whole(await client.send(post(source))) == b"ok"
    assert server.accepted == 2
    assert source.begun in (2, 3)  # it may have been seen to be gone before anything was sent on it


async def test_a_path_may_stand_beside_the_base_urls_last_segment(backend, serve, whole):
    seen = []

    async def script(peer):
        seen.append(await peer.request())
        await peer.say(OK)

    async with serve(script) as server, backend.client(server.url) as client:
        assert await whole(await client.send(UpstreamRequest(b"GET", b"/../health_generate", []))) == b"ok"
    assert seen[0].startswith(b"GET /health_generate HTTP/1.1\r\n")
