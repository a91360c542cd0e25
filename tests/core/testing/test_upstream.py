"""The scripted upstream says what it was told, and sees what was done to it."""

import asyncio
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from asgi_llm.testing import Answer, Close, Delay, Recorded, Reset, ScriptedUpstream, Stall, Wait, no_leaks

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]

REQUEST = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two: 2\r\ncontent-length: 7\r\n\r\n" + b'{"a":1}'


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


async def connect(upstream: ScriptedUpstream) -> Peer:
    return await asyncio.open_connection("127.0.0.1", upstream.port)


async def hear(upstream: ScriptedUpstream) -> bytes:
    """Everything that comes for one request until the upstream closes."""
    reader, writer = await connect(upstream)
    writer.write(REQUEST)
    try:
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


async def test_requests_are_recorded(client: httpx.AsyncClient) -> None:
    async with ScriptedUpstream(Answer.json({})) as upstream:
        await client.post(f"{upstream.url}/v1/a%20b?q=1", json={"model": "m"}, headers={"X-Key": "k"})
        await client.get(f"{upstream.url}/v1/models")
    first, second = upstream.requests
    assert (first.method, first.path, first.query) == ("POST", "/v1/a%20b", "q=1")
    assert first.json == {"model": "m"}
    assert first.header("x-key") == "k"
    assert first.header("absent") is None
    assert first.answered.is_set()
    assert not first.disconnected.is_set()
    assert (second.method, second.body) == ("GET", b"")
    assert (first.connection, second.connection, upstream.accepted) == (1, 1, 1)
    assert first.arrived <= second.arrived
    with pytest.raises(AssertionError, match="body is not JSON"):
        _ = second.json


async def test_answers_come_in_order_and_a_request_too_many_fails_the_test(client: httpx.AsyncClient) -> None:
    async def ask_three_times() -> None:
        async with ScriptedUpstream([Answer.json(1)]) as upstream:
            upstream.push(Answer.json(2, 201, {"x-a": "b"}))
            first = await client.get(f"{upstream.url}/a")
            assert upstream.left == 1
            second = await client.get(f"{upstream.url}/b")
            assert (first.json(), second.json(), second.status_code, second.headers["x-a"]) == (1, 2, 201, "b")
            assert (await client.get(f"{upstream.url}/c")).status_code == 500

    with pytest.raises(AssertionError, match="without an answer in the script: GET /c"):
        await ask_three_times()


async def test_a_handler_sees_the_request(client: httpx.AsyncClient) -> None:
    async def handler(request: Recorded) -> Answer:
        await asyncio.sleep(0)
        return Answer.json({"path": request.path})

    async with ScriptedUpstream(handler) as upstream:
        assert (await client.get(f"{upstream.url}/a")).json() == {"path": "/a"}


async def test_an_error_in_the_handler_fails_the_test(client: httpx.AsyncClient) -> None:
    def handler(request: Recorded) -> Answer:
        raise KeyError(request.path)

    async def ask() -> None:
        async with ScriptedUpstream(handler) as upstream:
            with pytest.raises(httpx.ReadError):
                await client.get(f"{upstream.url}/a")

    with pytest.raises(AssertionError, match="KeyError"):
        await ask()


async def test_garbage_from_the_peer_fails_the_test() -> None:
    async def send_garbage() -> None:
        async with ScriptedUpstream() as upstream:
            reader, writer = await connect(upstream)
            writer.write(b"nonsense\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
            writer.close()

    with pytest.raises(AssertionError, match="request that is not HTTP"):
        await send_garbage()


async def test_bytes_on_the_wire_are_the_script() -> None:
    async with ScriptedUpstream([Answer.raw([b"what", b"ever", Close(), b"never"])]) as upstream:
        assert await hear(upstream) == b"whatever"
    assert upstream.requests[0].headers[1:3] == [(b"x-two", b"1"), (b"x-two", b"2")]
    assert upstream.requests[0].header("X-Two") == "1, 2"
    assert upstream.requests[0].sent == 8


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer.hang_up(), b""),
        (
            Answer.http([b"ab"], status=299, headers=[("A", "1"), ("a", "2")], framing="close"),
            b"HTTP/1.1 299 Unknown\r\nconnection: close\r\na: 1\r\na: 2\r\n\r\nab",
        ),
        (
            Answer.http([b"ab", b"", b"c"], framing="chunked", truncated=True),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n",
        ),
        (
            Answer.http([b"abc", b"defgh"], truncated=True),
            b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nabcd",
        ),
        (
            Answer.json([1], content_length=99, truncated=True),
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\ncontent-type: application/json\r\n\r\n[",
        ),
        (
            Answer.sse([{"type": "ping"}, {"a": "\u00e9"}, "[DONE]", b": raw\n\n"], framing="close"),
            (
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n"
                b'event: ping\ndata: {"type":"ping"}\n\ndata: {"a":"\\u00e9"}\n\ndata: [DONE]\n\n: raw\n\n'
            ),
        ),
    ],
)
@pytest.mark.parametrize("split", [0, 1, 3])
async def test_lies_are_told_to_the_byte(answer: Answer, expected: bytes, split: int) -> None:
    async with ScriptedUpstream([Answer.raw(answer.steps, split=split)]) as upstream:
        assert await hear(upstream) == expected


def test_a_split_answer_is_cut_anywhere_but_not_across_what_happens() -> None:
    answer = Answer.raw([b"abc", b"d", b"ef", Close(), b"gh", b"i"], split=2)
    assert list(answer.pieces()) == [b"ab", b"cd", b"ef", Close(), b"gh", b"i"]
    assert list(Answer.raw([b"abc", Close(), b"d"], split=2).pieces()) == [b"ab", b"c", Close(), b"d"]
    assert list(Answer.raw([b"abc"], split=9).pieces()) == [b"abc"]


def test_a_step_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="a step must be bytes"):
        Answer.raw(["text"])  # type: ignore[list-item]  # the mistake in question


async def test_html_error_page(client: httpx.AsyncClient) -> None:
    async with ScriptedUpstream(Answer.html(503)) as upstream:
        answer = await client.get(upstream.url)
    assert answer.status_code == 503
    assert "<h1>Service Unavailable</h1>" in answer.text


async def test_reset_reaches_the_peer_as_a_reset() -> None:
    async with ScriptedUpstream([Answer.raw([b"HTTP/1.1 200 OK\r\n", Reset()])]) as upstream:
        reader, writer = await connect(upstream)
        writer.write(REQUEST)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert not upstream.requests[0].disconnected.is_set()


async def test_a_held_answer_goes_on_when_released(client: httpx.AsyncClient) -> None:
    gate = asyncio.Event()
    async with (
        ScriptedUpstream([Answer.sse(["one", Wait(gate), Delay(0), "two"])]) as upstream,
        client.stream("POST", upstream.url) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks) == b"data: one\n\n"
        assert not upstream.requests[0].answered.is_set()
        gate.set()
        assert await anext(chunks) == b"data: two\n\n"


@pytest.mark.parametrize("step", [Stall(), Wait(asyncio.Event()), Delay(60)])
async def test_a_peer_that_leaves_is_noticed_at_once(step: Stall | Wait | Delay) -> None:
    async with ScriptedUpstream([Answer.raw([b"HTTP/1.1 200 OK\r\n", step])]) as upstream:
        reader, writer = await connect(upstream)
        writer.write(REQUEST)
        await reader.readline()
        request = await upstream.wait_request()
        assert not request.disconnected.is_set()
        writer.close()
        await request.wait_disconnected()
        assert not upstream.connections
    assert not request.answered.is_set()


async def test_a_slow_reader_holds_the_script_back() -> None:
    piece = b"x" * 65536
    async with ScriptedUpstream([Answer.raw([piece] * 1000)]) as upstream:
        _reader, writer = await connect(upstream)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a read transport as well
        writer.write(REQUEST)
        request = await upstream.wait_request()
        assert request.sent < 1000 * len(piece)
        writer.transport.abort()
        await request.wait_disconnected()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with ScriptedUpstream([Answer.raw([b"one"]), Answer.raw([b"two", Close()])]) as upstream:
        reader, writer = await connect(upstream)
        writer.write(REQUEST + REQUEST)
        assert await reader.read() == b"onetwo"
        writer.close()


async def test_the_path_is_recorded_as_it_was_sent() -> None:
    async with ScriptedUpstream([Answer.hang_up()]) as upstream:
        _reader, writer = await connect(upstream)
        writer.write(b"GET //v1/[x]?a=b?c HTTP/1.1\r\nhost: a\r\n\r\n")
        request = await upstream.wait_request()
        writer.close()
    assert (request.path, request.query) == ("//v1/[x]", "a=b?c")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    tool = shutil.which("openssl")
    if tool is None:
        if "CI" in os.environ:
            pytest.fail("the openssl command is missing")
        pytest.skip("needs the openssl command")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {key} -out {cert}"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([tool, *command.split(), *names], check=True, capture_output=True)
    return cert, key


async def test_https(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(cert, key)
    script = [Answer.json({"a": 1}), Answer.raw([b"HTTP/1.1 200 OK\r\n", Reset()]), Answer.silence()]
    async with (
        no_leaks(),
        ScriptedUpstream(script, tls=server) as upstream,
        httpx.AsyncClient(verify=ssl.create_default_context(cafile=cert), trust_env=False, timeout=60) as client,
    ):
        assert upstream.url.startswith("https://127.0.0.1:")
        assert (await client.get(upstream.url)).json() == {"a": 1}
        with pytest.raises(httpx.ReadError):
            await client.get(upstream.url)
        with pytest.raises(httpx.ReadTimeout):
            await client.get(upstream.url, timeout=httpx.Timeout(5, read=0.1))
        await upstream.requests[2].wait_disconnected()


async def test_waiting_has_an_end() -> None:
    async with ScriptedUpstream() as upstream:
        with pytest.raises(AssertionError, match=r"waiting for request 1 .* \(0 so far\): nothing happened"):
            await upstream.wait_request(seconds=0.01)
    with pytest.raises(RuntimeError, match="async with"):
        _ = upstream.url


# The same scripts without a socket.


async def test_the_transport_plays_the_same_script() -> None:
    gate = asyncio.Event()
    upstream = ScriptedUpstream([Answer.sse(["one", Wait(gate), "two"], split=5), Answer.json({"a": 1}, 201)])
    async with httpx.AsyncClient(transport=upstream.transport(), base_url="http://up") as client:
        async with client.stream("POST", "/v1/x?q=1", json={"m": 1}) as answer:
            received = b""
            async for chunk in answer.aiter_raw():
                received += chunk
                if received == b"data: one\n\n":
                    gate.set()
        assert received == b"data: one\n\ndata: two\n\n"
        second = await client.get("/v1/y")
        assert (second.status_code, second.json()) == (201, {"a": 1})
    upstream.check()
    first = upstream.requests[0]
    assert (first.path, first.query, first.json) == ("/v1/x", "q=1", {"m": 1})
    assert first.answered.is_set()
    assert not first.disconnected.is_set()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer.reset(), httpx.ReadError),
        (Answer.hang_up(), httpx.RemoteProtocolError),
        (Answer.raw([b"nonsense\r\n", Close()]), httpx.RemoteProtocolError),
        (Answer.json({"a": 1}, truncated=True), httpx.RemoteProtocolError),
        (Answer.sse(["one"], truncated=True), httpx.RemoteProtocolError),
        (Answer.sse(["one", Reset()]), httpx.ReadError),
        (Answer.silence(), httpx.ReadTimeout),
        (Answer.sse(["one", Stall()]), httpx.ReadTimeout),
        (Answer.json(1, content_length=9), httpx.ReadTimeout),
    ],
)
async def test_faults_have_the_same_names_with_and_without_a_socket(
    answer: Answer, error: type[httpx.HTTPError]
) -> None:
    timeout = httpx.Timeout(5, read=0.05 if error is httpx.ReadTimeout else 5)
    async with ScriptedUpstream(answer) as upstream:
        for transport in (upstream.transport(), None):
            async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
                with pytest.raises(error):
                    await client.post(upstream.url)


async def test_the_transport_reads_a_body_that_ends_with_the_connection() -> None:
    upstream = ScriptedUpstream([Answer.http([b"ab"], framing="close")])
    async with httpx.AsyncClient(transport=upstream.transport()) as client:
        assert (await client.get("http://up/")).content == b"ab"


async def test_the_transport_passes_over_interim_answers() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    upstream = ScriptedUpstream([Answer.raw([interim, *Answer.json({"a": 1}).steps])])
    async with httpx.AsyncClient(transport=upstream.transport()) as client:
        answer = await client.get("http://up/")
    assert (answer.status_code, answer.json(), "link" in answer.headers) == (200, {"a": 1}, False)


async def test_the_transport_tells_when_the_client_leaves() -> None:
    upstream = ScriptedUpstream([Answer.sse(["one", Stall()])])
    async with httpx.AsyncClient(transport=upstream.transport()) as client:
        async with client.stream("GET", "http://up/") as answer:
            await anext(answer.aiter_raw())
        assert upstream.requests[0].disconnected.is_set()


async def test_the_transport_can_be_built_for_the_successor_of_httpx() -> None:
    httpx2 = pytest.importorskip("httpx2")
    upstream = ScriptedUpstream([Answer.json({"a": 1})])
    async with httpx2.AsyncClient(transport=upstream.transport(httpx2)) as client:
        assert (await client.get("http://up/")).json() == {"a": 1}
