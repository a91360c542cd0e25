"""Sound answers of every framing, through both backends."""

import asyncio
import contextlib

import pytest

from asgi_llm.errors import Cause, ClientError, Kind, UpstreamError
from asgi_llm.upstream.interface import Timeouts, UpstreamRequest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

SOUND = {
    "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", False),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: 1\r\n\r\n",
        b"hello",
        False,
    ),
    "by closing": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", True),
    "HTTP/1.0 by closing": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", True),
    "connection close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", False),
    "interim answers": (
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        ),
        b"hello",
        False,
    ),
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", b"hello", False),
    "upgrade offered": (
        b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
        False,
    ),
}


@pytest.mark.parametrize("step", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name", SOUND)
async def test_every_sound_framing_is_read_to_its_end(backend, serve, ask, whole, leakless, name, step):
    wire, body, closes = SOUND[name]

    async def script(peer):
        await peer.request()
        await peer.say(wire, step=step)
        if not closes:
            await peer.gone()

    async with leakless(), serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert answer.status == int(wire.rpartition(b"HTTP/1.")[2][2:5])
        assert await whole(answer) == body
        answer.close()


async def test_headers_keep_order_and_duplicates_in_lower_case(backend, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(
            b"HTTP/1.1 429 Slow\r\nX-A: 1\r\nSet-Cookie: a=b\r\nset-cookie: \t c=d \t\r\nRETRY-AFTER: 3\r\nEmpty:\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        await peer.gone()

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert answer.status == 429
        assert answer.headers == [
            (b"x-a", b"1"),
            (b"set-cookie", b"a=b"),
            (b"set-cookie", b"c=d"),
            (b"retry-after", b"3"),
            (b"empty", b""),
            (b"content-length", b"0"),
        ]
        assert await whole(answer) == b""


async def test_the_request_line_carries_the_base_path_and_the_query(backend, serve, ask, whole):
    seen = []

    async def script(peer):
        for _ in range(4):
            seen.append(await peer.request())
            await peer.say(OK)

    async with serve(script) as server, backend.client(server.url + "/") as client:
        requests = [
            ask(b'{"a":1}', b"/chat?x=1%20&y"),
            UpstreamRequest(b"GET", b"/models", [(b"user-agent", b"mine/1")]),
            UpstreamRequest(b"POST", b"/cancel", []),
            ask(b"x" * 300_000),
        ]
        for request in requests:
            assert await whole(await client.send(request)) == b"ok"
    first, second, third, fourth = seen
    host = b"host: 127.0.0.1:%d\r\n" % server.port
    assert first.startswith(b"POST /v1/chat?x=1%20&y HTTP/1.1\r\n")
    assert first.endswith(b'\r\n\r\n{"a":1}')
    assert host in first.lower()
    assert b"content-length: 7\r\n" in first.lower()
    assert b"user-agent: asgi-llm/" in first.lower()
    assert second.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"content-length" not in second.lower()
    assert second.lower().count(b"user-agent:") == 1
    assert b"user-agent: mine/1\r\n" in second.lower()
    assert b"content-length: 0\r\n" in third.lower()
    assert fourth.endswith(b"\r\n\r\n" + b"x" * 300_000)
    for head in seen:
        assert b"accept-encoding" not in head.lower()
        assert b"transfer-encoding" not in head.lower()


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X: y"])
async def test_an_answer_to_head_has_no_body(backend, serve, ask, whole, framing):
    async def script(peer):
        while True:
            is_head = (await peer.request()).startswith(b"HEAD ")
            await peer.say(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" if is_head else OK)

    async with serve(script) as server, backend.client(server.url) as client:
        for _ in range(2):
            assert await whole(await client.send(UpstreamRequest(b"HEAD", b"/x", []))) == b""
        assert await whole(await client.send(ask())) == b"ok"
        assert client.in_use == 0


async def test_a_body_sent_for_head_all_the_same_is_dropped_with_its_connection(http1, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(OK)
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        for _ in range(2):
            assert await whole(await client.send(UpstreamRequest(b"HEAD", b"/x", []))) == b""
            assert client.open == 0
        assert await whole(await client.send(ask())) == b"ok"


async def test_requests_that_look_alike_are_told_apart(backend, serve, whole):
    async def script(peer):
        while True:
            request = await peer.request()
            lines = [
                line for line in request.splitlines() if line.startswith((b"POST", b"PUT", b"a: ", b"user-agent: m"))
            ]
            said = b"|".join(lines)
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)

    def put(method, path, headers, fixed=()):
        return UpstreamRequest(method, path, headers, b"{}", fixed=fixed)

    one, two, agent = (b"a", b"1"), (b"a", b"2"), (b"user-agent", b"mine")
    asked = {
        put(b"POST", b"/x", [one]): b"POST /v1/x HTTP/1.1|a: 1",
        put(b"POST", b"/x", [two]): b"POST /v1/x HTTP/1.1|a: 2",
        put(b"POST", b"/x", [one, two]): b"POST /v1/x HTTP/1.1|a: 1|a: 2",
        put(b"POST", b"/x", [two], (one,)): b"POST /v1/x HTTP/1.1|a: 1|a: 2",
        put(b"POST", b"/x", [[b"a", b"1"], [b"a", b"2"]]): b"POST /v1/x HTTP/1.1|a: 1|a: 2",  # as some servers have it
        put(b"POST", b"/x", [two, one]): b"POST /v1/x HTTP/1.1|a: 2|a: 1",
        put(b"POST", b"/x", [agent]): b"POST /v1/x HTTP/1.1|user-agent: mine",
        put(b"POST", b"/x", []): b"POST /v1/x HTTP/1.1",
        put(b"POST", b"/y", [one]): b"POST /v1/y HTTP/1.1|a: 1",
        put(b"PUT", b"/x", [one]): b"PUT /v1/x HTTP/1.1|a: 1",
    }
    async with serve(script) as server, backend.client(server.url) as client:
        for _ in range(2):
            for request, said in asked.items():
                assert await whole(await client.send(request)) == said


BAD_REQUESTS = {
    "header value LF": UpstreamRequest(b"POST", b"/x", [(b"a", b"b\nc: d")]),
    "header value CR": UpstreamRequest(b"POST", b"/x", [(b"a", b"b\rc")]),
    "header value CRLF": UpstreamRequest(b"POST", b"/x", [(b"a", b"b\r\nc: d")]),
    "header value NUL": UpstreamRequest(b"POST", b"/x", [(b"a", b"b\0c")]),
    "header name CRLF": UpstreamRequest(b"POST", b"/x", [(b"a: b\r\nc", b"d")]),
    "header name colon": UpstreamRequest(b"POST", b"/x", [(b"a:", b"d")]),
    "header name space": UpstreamRequest(b"POST", b"/x", [(b"a ", b"d")]),
    "header name empty": UpstreamRequest(b"POST", b"/x", [(b"", b"d")]),
    "framing header": UpstreamRequest(b"POST", b"/x", [(b"content-length", b"0")]),
    "coding header": UpstreamRequest(b"POST", b"/x", [(b"transfer-encoding", b"chunked")]),
    "second host": UpstreamRequest(b"POST", b"/x", [(b"host", b"elsewhere")]),
    "path CRLF": UpstreamRequest(b"POST", b"/x\r\nHost: y", []),
    "path space": UpstreamRequest(b"POST", b"/x HTTP/1.1", []),
    "path NUL": UpstreamRequest(b"POST", b"/x\0", []),
    "path not ASCII": UpstreamRequest(b"POST", "/ü".encode(), []),
    "path fragment": UpstreamRequest(b"POST", b"/x#y", []),
    "path of another host": UpstreamRequest(b"POST", b".evil.example/x", []),
    "method space": UpstreamRequest(b"PO ST", b"/x", []),
    "method CONNECT": UpstreamRequest(b"CONNECT", b"/x", []),
    "method empty": UpstreamRequest(b"", b"/x", []),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_a_request_that_could_be_read_as_two_is_never_sent(backend, serve, name):
    async def script(peer):
        raise AssertionError("a connection was made")

    async with serve(script) as server, backend.client(server.url) as client:
        for _ in range(2):
            with pytest.raises(ClientError):
                await client.send(BAD_REQUESTS[name])


async def test_what_has_arrived_is_handed_out_as_one_piece(http1, serve, ask):
    sent = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await sent.wait()
        await peer.say(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n")
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        answer = await client.send(ask())
        reading = asyncio.create_task(answer.read())
        sent.set()
        assert await reading == b"abc"
        answer.close()


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"], ids=["middle", "end"])
async def test_what_arrives_before_the_reader_runs_is_one_piece(http1, serve, ask, end):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        answer = await client.send(ask())
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        connection = answer.connection
        for record in (b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n" + end):  # as TLS hands over several at once
            connection.data_received(record)
        assert await reading == b"abc"
        assert answer.ended is bool(end)
        answer.close()


async def test_pieces_come_through_as_they_come_in(backend, serve, ask):
    read = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"six"):
            await peer.say(b"3\r\n" + piece + b"\r\n")
            await read.wait()
            read.clear()
        await peer.say(b"0\r\n\r\n")
        await peer.gone()

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        for piece in (b"one", b"two", b"six"):
            assert await answer.read() == piece
            read.set()
        assert await answer.read() == b""


async def test_closing_early_closes_the_connection_at_once(backend, serve, ask, leakless):
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await peer.gone()
        gone.set()

    async with leakless(), serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert await answer.read() == b"abc"
        answer.close()
        answer.close()
        await asyncio.wait_for(gone.wait(), 60)
        with pytest.raises(UpstreamError):
            await answer.read()


async def test_closing_wakes_a_reader(backend, serve, ask):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await peer.gone()

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0.01)
        answer.close()
        with pytest.raises(UpstreamError):
            await asyncio.wait_for(reading, 60)


@pytest.mark.parametrize("at", ["head", "body"])
async def test_cancelling_closes_the_connection(backend, serve, ask, leakless, at):
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer):
        await peer.request()
        if at == "body":
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        asked.set()
        await peer.gone()
        gone.set()

    async def run(client):
        answer = await client.send(ask())
        try:
            await answer.read()
        finally:
            answer.close()

    async with leakless(), serve(script) as server, backend.client(server.url) as client:
        task = asyncio.create_task(run(client))
        await asked.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 60)
        assert client.in_use == 0


async def test_an_early_answer_does_not_wait_for_the_upload(backend, serve, ask, whole):
    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.sleep(0.1)
        await peer.gone()

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await asyncio.wait_for(client.send(ask(b"x" * 8_000_000)), 60)
        assert answer.status == 413
        assert await whole(answer) == b"big"
        answer.close()


async def test_a_connection_whose_upload_was_not_finished_is_not_reused(http1, serve, ask, whole):
    async def script(peer):
        if peer.number == 1:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        else:
            await peer.request()
            await peer.say(OK)
        await peer.gone()

    async with serve(script, limit=1024) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask(b"x" * 30_000_000))) == b"big"
        assert (client.open, client.idle) == (0, 0)
        assert await whole(await client.send(ask())) == b"ok"
        assert server.accepted == 2


async def test_a_slow_reader_slows_the_upstream(http1, serve, ask):
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        while sent < 50_000_000:
            await peer.say(b"x" * 50_000)
            sent += 50_000

    async with serve(script) as server, http1.client(server.url) as client:
        answer = await client.send(ask())
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        held = sent
        assert held < 20_000_000  # what both kernels' buffers and ours hold
        assert len(await answer.read()) < 1_000_000
        got = 0
        while piece := await answer.read():
            got += len(piece)
        assert sent == 50_000_000 > held
        answer.close()


TIMEOUTS = {
    "first byte": (b"", Timeouts(first_byte=0.1), Cause.FIRST_BYTE_TIMEOUT),
    "half a head": (b"HTTP/1.1 200 OK\r\nA: b", Timeouts(first_byte=0.1), Cause.FIRST_BYTE_TIMEOUT),
    "after an interim answer": (b"HTTP/1.1 100 Go\r\n\r\n", Timeouts(first_byte=0.1), Cause.FIRST_BYTE_TIMEOUT),
    "idle": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Timeouts(idle=0.1), Cause.IDLE_TIMEOUT),
    "total before the head": (b"", Timeouts(total=0.1), Cause.TOTAL_TIMEOUT),
    "total in the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", Timeouts(total=0.1), Cause.TOTAL_TIMEOUT),
}


@pytest.mark.parametrize("of", ["client", "request"])
@pytest.mark.parametrize("name", TIMEOUTS)
async def test_every_time_limit_ends_the_exchange(backend, serve, ask, whole, leakless, name, of):
    wire, timeouts, cause = TIMEOUTS[name]
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(wire)
        await peer.gone()
        gone.set()

    given = {"timeouts": timeouts}
    async with (
        leakless(),
        serve(script) as server,
        backend.client(server.url, **(given if of == "client" else {})) as client,
    ):
        with pytest.raises(UpstreamError) as caught:
            await whole(await client.send(ask(**(given if of == "request" else {}))))
        assert (caught.value.cause, caught.value.kind) == (cause, Kind.TIMEOUT)
        assert caught.value.code == "upstream_timeout"
        await asyncio.wait_for(gone.wait(), 60)
        assert client.in_use == 0


async def test_a_head_that_drips_does_not_stretch_the_first_byte(backend, serve, ask):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.say(b"a: b\r\n")
            await asyncio.sleep(0.02)

    async with serve(script) as server, backend.client(server.url, timeouts=Timeouts(first_byte=0.15)) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask())
        assert caught.value.cause is Cause.FIRST_BYTE_TIMEOUT


async def test_total_also_ends_a_stream_that_never_pauses(backend, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.say(b"3\r\nabc\r\n")
            await asyncio.sleep(0)

    async with serve(script) as server, backend.client(server.url, timeouts=Timeouts(total=0.2)) as client:
        answer = await client.send(ask())
        with pytest.raises(UpstreamError) as caught:
            await whole(answer)
        assert caught.value.cause is Cause.TOTAL_TIMEOUT


async def test_total_also_ends_an_answer_that_nobody_reads(http1, serve, ask, whole):
    gone = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await peer.gone()
        gone.set()

    async with serve(script) as server, http1.client(server.url, timeouts=Timeouts(total=0.1)) as client:
        answer = await client.send(ask())
        await asyncio.wait_for(gone.wait(), 60)
        assert client.open == 0
        assert await answer.read() == b"abc"
        with pytest.raises(UpstreamError) as caught:
            await answer.read()
        assert caught.value.cause is Cause.TOTAL_TIMEOUT


@pytest.mark.parametrize("wire", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"], ids=["head", "body"])
async def test_each_request_has_its_own_limits_on_a_connection_that_had_others(http1, serve, ask, whole, wire):
    async def script(peer):
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(wire)
        await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        async with asyncio.timeout(20):  # the client's own limits are longer
            with pytest.raises(UpstreamError) as caught:
                await whole(await client.send(ask(timeouts=Timeouts(first_byte=0.2, idle=0.1))))
        assert caught.value.cause is (Cause.IDLE_TIMEOUT if wire else Cause.FIRST_BYTE_TIMEOUT)
        assert server.accepted == 1


async def test_pieces_that_keep_coming_are_never_idle(backend, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(0.06)
            await peer.say(b"3\r\nabc\r\n")
        await peer.say(b"0\r\n\r\n")
        await peer.gone()

    async with serve(script) as server, backend.client(server.url, timeouts=Timeouts(idle=1)) as client:
        assert await whole(await client.send(ask())) == b"abc" * 20


async def test_an_upload_that_stalls_is_idle_and_one_that_crawls_is_not(http1, serve, ask, whole):
    async def script(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        if peer.number == 1:
            await asyncio.sleep(30)
        begun = asyncio.get_running_loop().time()
        peer.writer.get_extra_info("socket").setsockopt(1, 8, 65536)
        left = 12_000_000
        while left:
            left -= len(await peer.reader.read(400_000))
            await asyncio.sleep(0.015)
        crawled.append(asyncio.get_running_loop().time() - begun)
        await peer.say(OK)
        await peer.gone()

    crawled: list[float] = []
    limits = Timeouts(idle=1, first_byte=30)
    async with serve(script, limit=1024) as server, http1.client(server.url, timeouts=limits) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask(b"x" * 30_000_000))
        assert caught.value.cause is Cause.IDLE_TIMEOUT
        assert await whole(await client.send(ask(b"x" * 12_000_000))) == b"ok"
        assert crawled[0] > limits.idle


async def test_no_connection_is_unreachable(backend, serve, ask, leakless):
    async with serve(lambda peer: peer.gone()) as server:
        url = server.url
    for where in (url, "http://nowhere.invalid"):
        async with leakless(), backend.client(where) as client:
            with pytest.raises(UpstreamError) as caught:
                await client.send(ask())
            assert (caught.value.cause, caught.value.kind) == (Cause.CONNECT, Kind.BAD_GATEWAY)
            assert caught.value.code == "upstream_unreachable"
            assert "127.0.0.1" not in str(caught.value)
            assert client.in_use == 0


async def test_connecting_has_a_limit(backend, ask, leakless):
    import socket

    # A backlog that is full: the handshake of a further connection is never answered.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with leakless(), backend.client(url, timeouts=Timeouts(connect=0.2)) as client:
            with pytest.raises(UpstreamError) as caught:
                await client.send(ask())
            assert caught.value.cause is Cause.CONNECT_TIMEOUT
            assert caught.value.kind is Kind.TIMEOUT
            assert client.in_use == 0


async def test_a_closed_client_refuses_and_breaks_off(backend, serve, ask):
    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await peer.gone()

    async with serve(script) as server, backend.client(server.url) as client:
        answer = await client.send(ask())
        assert await answer.read() == b"abc"
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(UpstreamError):
            await reading
        with pytest.raises(UpstreamError):
            await client.send(ask())
