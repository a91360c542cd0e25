"""Forms with files: sent on while they arrive, with the model found in them wherever it stands."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Self

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream

HEARD = {"text": "hello", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 2}}
TYPE = [("content-type", "multipart/form-data; boundary=XX")]
MODEL_FIRST, MODEL_LAST = ("model", "file"), ("file", "model")


def form(order: Iterable[str], data: bytes, model: str = "whisper", **more: str) -> bytes:
    parts = {
        "model": b'Content-Disposition: form-data; name="model"\r\n\r\n' + model.encode(),
        "file": b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        + data,
    }
    for name, value in more.items():
        parts[name] = b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name.encode(), value.encode())
    return b"".join(b"--XX\r\n" + parts[name] + b"\r\n" for name in (*order, *more)) + b"--XX--\r\n"


def gateway(settled: list[Exchange], *urls: str, limits: Any = None, **more: Any) -> Gateway:
    workers = [{"url": url} for url in urls]
    target = {"provider": "openai_compatible", "workers": workers, "api_key": "sk-up", **more}
    return Gateway(
        {"targets": {"up": target}, "auth": {"anonymous": True}, "limits": limits or {}}, on_settled=settled.append
    )


async def ask(
    gate: Gateway, pieces: Any, headers: Any = TYPE, path: str = "/v1/audio/transcriptions"
) -> tuple[int, Any]:
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", path, headers, pieces)
        head = await exchange.start()
        said = await exchange.body()
        await exchange.finished()
    return head.status, json.loads(said) if said else None


@pytest.mark.parametrize("order", [MODEL_FIRST, MODEL_LAST])
@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
@pytest.mark.parametrize("cut", [1 << 30, 65536, 997])
async def test_bytes_pass_as_they_are_but_for_the_model(order: tuple[str, ...], size: int, cut: int) -> None:
    if size > 100_000 and cut < 1000:
        cut = 9973
    settled: list[Exchange] = []
    data = bytes(index * 7 % 251 for index in range(size))
    whole = form(order, data, "small")
    pieces = [whole[at : at + cut] for at in range(0, len(whole), cut)]
    async with ScriptedUpstream(Answer.json(HEARD)) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1", models={"small": "whisper-large"})
        status, said = await ask(gate, pieces)
    request = upstream.requests[0]
    assert (status, said) == (200, HEARD)
    assert request.body == form(order, data, "whisper-large")
    assert request.header("content-type") == TYPE[0][1]
    assert request.header("content-length") == str(len(request.body))
    assert request.header("authorization") == "Bearer sk-up"
    usage = settled[0].usage
    assert usage is not None
    assert (usage.input, usage.output, settled[0].outcome) == (14, 2, "ok")


@pytest.mark.parametrize("order", [MODEL_FIRST, MODEL_LAST])
async def test_a_form_of_unknown_length_goes_in_chunks(order: tuple[str, ...]) -> None:
    whole = form(order, b"x" * 200_000)
    async with ScriptedUpstream(Answer.json(HEARD)) as upstream:
        gate = gateway([], f"{upstream.url}/v1")
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/audio/transcriptions", TYPE, hold_body=True)
            for at in range(0, len(whole), 50_000):
                exchange.send_body(whole[at : at + 50_000], more=at + 50_000 < len(whole))
            assert (await exchange.start()).status == 200
            await exchange.finished()
    assert upstream.requests[0].body == whole
    assert upstream.requests[0].header("transfer-encoding") == "chunked"


class Listener:
    """An upstream of bare sockets, to see what arrives while it arrives."""

    def __init__(self, reads: bool = True) -> None:
        self.reading = asyncio.Event()
        if reads:
            self.reading.set()
        self.seen = bytearray()
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1024)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.reading.set()
        if self.writer is not None:
            self.writer.transport.abort()
            await self.closed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            await self.reading.wait()
            while data := await reader.read(65536):
                self.seen += data
                self.changed.set()
        except ConnectionError:
            pass
        self.closed.set()
        writer.close()

    def read(self) -> None:
        self.reading.set()

    async def got(self, size: int) -> None:
        async with asyncio.timeout(60):
            while len(self.seen) < size:
                self.changed.clear()
                await self.changed.wait()

    def answer(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


async def open_upload(gate: Gateway, length: int | None = None) -> Any:
    headers = TYPE if length is None else [*TYPE, ("content-length", str(length))]
    return await ASGIDriver(gate.asgi).request("POST", "/v1/audio/transcriptions", headers, hold_body=True)


SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/v1/audio/transcriptions", "root_path": "", "query_string": b"",
    "headers": [(name.encode(), value.encode()) for name, value in TYPE],
}  # fmt: skip


def cut(data: bytes) -> Iterator[dict[str, Any]]:
    return (
        {"type": "http.request", "body": data[at : at + 65536], "more_body": True} for at in range(0, len(data), 65536)
    )


def messages(*said: Iterable[Any]) -> Any:
    coming = chain(*said)

    async def receive() -> Any:
        return next(coming)

    return receive


async def no_answer(_message: Any) -> None:
    """Nobody is there to be told anything."""


async def test_it_is_sent_on_while_it_arrives() -> None:
    whole = form(MODEL_FIRST, b"x" * 100_000)
    async with Listener() as upstream:
        gate = gateway([], upstream.url)
        async with gate.running():
            exchange = await open_upload(gate, len(whole))
            exchange.send_body(whole[:50_000])
            await upstream.got(50_000)
            exchange.send_body(whole[50_000:], more=False)
            await upstream.got(100_000)
            upstream.answer(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            assert await exchange.body() == b"{}"
            await exchange.finished()


async def test_a_caller_that_leaves_in_the_middle_ends_it_upstream() -> None:
    settled: list[Exchange] = []
    async with Listener() as upstream:
        gate = gateway(settled, upstream.url)
        async with gate.running():
            exchange = await open_upload(gate)
            exchange.send_body(form(MODEL_FIRST, b"x" * 100_000)[:50_000])
            await upstream.got(50_000)
            exchange.disconnect()
            async with asyncio.timeout(60):
                await upstream.closed.wait()
            await exchange.finished()
    assert settled[0].outcome == "disconnected"


async def test_a_caller_that_leaves_while_the_upstream_does_not_read_is_heard() -> None:
    """Behind all that it sent before, and long before the time-outs."""
    settled: list[Exchange] = []
    async with Listener(reads=False) as upstream:
        gate = gateway(settled, upstream.url)
        pieces = cut(form(MODEL_FIRST, b"x" * 20_000_000)[:-1])
        async with gate.running():
            async with asyncio.timeout(60):
                await gate.asgi(SCOPE, messages(pieces, [{"type": "http.disconnect"}]), no_answer)
        assert settled[0].outcome == "disconnected"
        assert not next(pieces, None)


@pytest.mark.parametrize("length_told", [False, True])
async def test_what_was_received_meanwhile_is_sent_when_the_upstream_reads_again(length_told: bool) -> None:
    whole = form(MODEL_FIRST, bytes(index * 7 % 251 for index in range(251)) * 80_000)
    scope = dict(SCOPE)
    if length_told:
        scope["headers"] = [*SCOPE["headers"], (b"content-length", b"%d" % len(whole))]
    sent: list[Any] = []
    coming: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        sent.append(message)

    async with Listener(reads=False) as upstream:
        gate = gateway([], upstream.url)
        for piece in cut(whole):
            coming.put_nowait(piece)
        async with gate.running():
            serving = asyncio.create_task(gate.asgi(scope, coming.get, send))
            async with asyncio.timeout(60):
                while not coming.empty():
                    await asyncio.sleep(0.01)
            upstream.read()
            # All of it has come, but for the word that it has.
            await upstream.got(len(whole) - 65536)
            coming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
            async with asyncio.timeout(60):
                while not upstream.seen.endswith(whole[-100:] if length_told else b"0\r\n\r\n"):
                    await asyncio.sleep(0.01)
            upstream.answer(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            await serving
    assert sent[-1]["body"] == b"{}"
    body, at = b"", upstream.seen.index(b"\r\n\r\n") + 4
    if length_told:
        body = upstream.seen[at:]
    # Chunked: the first bytes of every line tell how long the chunk is.
    while not length_told and (size := int(upstream.seen[at : (end := upstream.seen.index(b"\r\n", at))], 16)):
        body, at = body + upstream.seen[end + 2 : end + 2 + size], end + 4 + size
    assert body == whole


async def test_a_caller_that_leaves_before_the_answer_ends_it_upstream() -> None:
    """Also where the server tells of the body's end by itself, behind all of its bytes."""
    settled: list[Exchange] = []
    whole = form(MODEL_FIRST, b"x" * 1000)
    async with Listener() as upstream:
        gate = gateway(settled, upstream.url)
        async with gate.running():
            exchange = await open_upload(gate, len(whole))
            exchange.send_body(whole)
            exchange.send_body(b"", more=False)
            await upstream.got(len(whole))
            exchange.disconnect()
            async with asyncio.timeout(60):
                await upstream.closed.wait()
            await exchange.finished()
    assert settled[0].outcome == "disconnected"


async def test_an_upstream_that_says_no_early_is_heard_and_no_more_is_sent() -> None:
    settled: list[Exchange] = []
    async with Listener() as upstream:
        gate = gateway(settled, upstream.url)
        async with gate.running():
            exchange = await open_upload(gate)
            exchange.send_body(form(MODEL_FIRST, b"x" * 100_000)[:50_000])
            await upstream.got(50_000)
            upstream.answer(b"HTTP/1.1 413 No\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            assert (await exchange.start()).status == 413
            async with asyncio.timeout(60):
                await upstream.closed.wait()
            await exchange.finished()
    assert settled[0].outcome == "upstream_error"


async def test_an_upstream_that_does_not_read_makes_the_caller_wait() -> None:
    """What piles up between the two is bounded, however much there is."""
    async with Listener(reads=False) as upstream:
        gate = gateway([], upstream.url, timeouts={"idle": 0.3}, retry={"attempts": 1})
        taken = 0

        async def receive() -> dict[str, Any]:
            nonlocal taken
            taken += 1
            head = form(MODEL_FIRST, b"")[: -len(b"\r\n--XX--\r\n")] if taken == 1 else b""
            return {"type": "http.request", "body": head + b"x" * 65536, "more_body": True}

        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async with gate.running():
            async with asyncio.timeout(60):
                await gate.asgi(SCOPE, receive, send)
        assert sent[0]["status"] == 504
        # The sockets' own buffers are some megabytes.
        assert taken * 65536 < 64 * 1024 * 1024


async def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway([], f"{upstream.url}/v1", limits={"upload": 1000})
        async with gate.running():
            exchange = await open_upload(gate, 1001)
            assert (await exchange.start()).status == 413
            await exchange.finished()


async def test_what_turns_out_too_large_is_broken_off() -> None:
    async with Listener() as upstream:
        gate = gateway([], upstream.url, limits={"upload": 60_000})
        async with gate.running():
            exchange = await open_upload(gate)
            whole = form(MODEL_FIRST, b"x" * 100_000)
            exchange.send_body(whole[:50_000])
            await upstream.got(50_000)
            exchange.send_body(whole[50_000:], more=False)
            assert (await exchange.start()).status == 413
            async with asyncio.timeout(60):
                await upstream.closed.wait()
            await exchange.finished()


async def test_who_dawdles_is_told_so() -> None:
    async with Listener() as upstream:
        gate = gateway([], upstream.url, limits={"upload_idle": 0.05})
        async with gate.running():
            exchange = await open_upload(gate)
            exchange.send_body(form(MODEL_FIRST, b"x" * 100_000)[:50_000])
            assert (await exchange.start()).status == 408
            await exchange.finished()


@pytest.mark.parametrize("order", [MODEL_FIRST, MODEL_LAST])
async def test_a_small_form_is_sent_again_when_a_worker_fails(order: tuple[str, ...]) -> None:
    settled: list[Exchange] = []
    whole = form(order, b"x" * 10_000)
    async with ScriptedUpstream([Answer.reset()]) as bad, ScriptedUpstream(Answer.json(HEARD)) as good:
        gate = gateway(settled, f"{bad.url}/v1", f"{good.url}/v1")
        assert (await ask(gate, [whole[:300], whole[300:]]))[0] == 200
    assert (bad.requests[0].body, good.requests[0].body) == (whole, whole)
    assert len(settled[0].attempts) == 2


@pytest.mark.parametrize("order", [MODEL_FIRST, MODEL_LAST])
async def test_a_fallback_gets_it_with_its_own_model(order: tuple[str, ...]) -> None:
    """Both names differ from the caller's, in length, too."""
    data = b"x" * 10_000
    async with ScriptedUpstream([Answer.json({}, 500)]) as bad, ScriptedUpstream(Answer.json(HEARD)) as good:
        targets = {
            name: {
                "provider": "openai_compatible",
                "base_url": f"{up.url}/v1",
                "models": models,
                "retry": {"attempts": 1},
            }
            for name, up, models in (("first", bad, {"small": "whisper-large-v3"}), ("second", good, {"tiny": "w"}))
        }
        routes = [{"model": "*", "target": "first", "fallback": [{"target": "second", "model": "tiny"}]}]
        gate = Gateway({"targets": targets, "routes": routes, "auth": {"anonymous": True}})
        whole = form(order, data, "small")
        assert (await ask(gate, [whole], [*TYPE, ("content-length", str(len(whole)))]))[0] == 200
    assert bad.requests[0].body == form(order, data, "whisper-large-v3")
    assert good.requests[0].body == form(order, data, "w")
    assert good.requests[0].header("content-length") == str(len(good.requests[0].body))


async def test_a_large_one_is_sent_again_only_as_long_as_nothing_of_it_was_let_go() -> None:
    settled: list[Exchange] = []
    whole = form(MODEL_FIRST, b"x" * 3_000_000)
    pieces = [whole[at : at + 65536] for at in range(0, len(whole), 65536)]
    async with ScriptedUpstream([Answer.reset()]) as bad, ScriptedUpstream() as good:
        gate = gateway(settled, f"{bad.url}/v1", f"{good.url}/v1")
        assert (await ask(gate, pieces))[0] == 502
        # Nobody listens at this one, so nothing was sent.
        port = bad.port
    async with ScriptedUpstream(Answer.json(HEARD)) as good:
        gate = gateway(settled, f"http://127.0.0.1:{port}/v1", f"{good.url}/v1")
        assert (await ask(gate, pieces))[0] == 200
        assert good.requests[0].body == whole


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (form(("file",), b"x"), 400, "model_required", "model"),
        (form(("model", "file", "model"), b"x"), 400, "invalid_request", "model"),
        (form(("file",), b"x", model2="y"), 400, "model_required", "model"),
        (form(MODEL_FIRST, b"x", "denied"), 403, "model_not_permitted", "model"),
        (form(MODEL_FIRST, b"x", "m" * 2000), 400, "invalid_request", "model"),
        (form(("file",), b"x")[:-4], 400, "invalid_form", None),
        (b"no form", 400, "invalid_form", None),
        (b"", 400, "invalid_form", None),
        (form(("file",), b"x").replace(b'name="file"', b'title="file"'), 400, "invalid_form", None),
        (form(MODEL_FIRST, b"x").replace(b'name="model"', b"name*=utf-8''model"), 400, "invalid_form", None),
    ],
)
async def test_what_is_wrong_is_refused(body: bytes, status: int, code: str, param: str | None) -> None:
    async with Listener() as upstream:
        answered, said = await ask(gateway([], upstream.url, deny=["denied"]), body)
    assert (answered, said["error"]["code"], said["error"]["param"]) == (status, code, param)


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", "application/json")],
        [],
        [("content-type", "multipart/form-data")],
        [*TYPE, ("content-encoding", "gzip")],
    ],
)
async def test_only_plain_forms_are_taken(headers: Any) -> None:
    async with ScriptedUpstream() as upstream:
        status, said = await ask(gateway([], f"{upstream.url}/v1"), form(MODEL_FIRST, b"x"), headers)
    assert status == 415
    assert said["error"]["code"] in ("unsupported_media_type", "unsupported_content_encoding")


async def test_a_second_model_behind_the_file_reaches_no_upstream_whole() -> None:
    """The gateway judged the first one; an upstream might serve the last."""
    async with Listener() as upstream:
        gate = gateway([], upstream.url)
        whole = form((*MODEL_FIRST, "model"), b"x" * 100_000)
        async with gate.running():
            exchange = await open_upload(gate)
            exchange.send_body(whole[:50_000])
            await upstream.got(50_000)
            exchange.send_body(whole[50_000:], more=False)
            assert (await exchange.start()).status == 400
            async with asyncio.timeout(60):
                await upstream.closed.wait()
            await exchange.finished()
        assert len(upstream.seen) < len(whole)


async def test_a_model_may_be_missing_where_the_endpoint_has_one_of_its_own() -> None:
    async with ScriptedUpstream(Answer.json({"data": []})) as upstream:
        path = "/v1/images/edits"
        assert (await ask(gateway([], f"{upstream.url}/v1"), form(("file",), b"x"), path=path))[0] == 200
        assert (await ask(gateway([], f"{upstream.url}/v1", deny=["x"]), form(("file",), b"x"), path=path))[0] == 400


async def test_a_transcription_streams_although_only_the_last_field_asks_for_it() -> None:
    settled: list[Exchange] = []
    events = [{"type": "transcript.text.delta", "delta": "he"}, {"type": "transcript.text.done", "text": "he"}]
    async with ScriptedUpstream(Answer.sse(events)) as upstream:
        gate = gateway(settled, f"{upstream.url}/v1")
        async with gate.running():
            body = form(MODEL_FIRST, b"x" * 200_000, stream="true")
            pieces = [body[:1000], body[1000:]]
            exchange = await ASGIDriver(gate.asgi).request("POST", "/v1/audio/transcriptions", TYPE, pieces)
            head = await exchange.start()
            assert dict(head.headers)[b"content-type"].startswith(b"text/event-stream")
            assert (await exchange.body()).count(b"data: ") == 2
            await exchange.finished()
    assert settled[0].outcome == "ok"


async def test_subtitles_pass_as_they_are() -> None:
    text = b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"
    async with ScriptedUpstream(Answer.http([text], headers={"content-type": "text/plain; charset=utf-8"})) as upstream:
        gate = gateway([], f"{upstream.url}/v1")
        async with gate.running():
            exchange = await ASGIDriver(gate.asgi).request(
                "POST", "/v1/audio/transcriptions", TYPE, form(MODEL_FIRST, b"x")
            )
            head = await exchange.start()
            assert dict(head.headers)[b"content-type"] == b"text/plain; charset=utf-8"
            assert await exchange.body() == text
            await exchange.finished()
