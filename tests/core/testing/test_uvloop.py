"""The kit works the same on the loop that servers use."""

import asyncio

import pytest

from asgi_llm.testing import Answer, Close, Reset, ScriptedUpstream, no_leaks

uvloop = pytest.importorskip("uvloop")


async def ask(upstream: ScriptedUpstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    return reader, writer


async def play() -> None:
    script = [
        Answer.raw([b"HTTP/1.1 200 OK\r\n", Reset()]),
        Answer.raw([b"abc", b"de", Close()], split=2),
        Answer.silence(),
    ]
    async with no_leaks(), ScriptedUpstream(script) as upstream:
        reader, writer = await ask(upstream)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        reader, writer = await ask(upstream)
        assert await reader.read() == b"abcde"
        writer.close()
        _reader, writer = await ask(upstream)
        request = await upstream.wait_request(3)
        writer.close()
        await request.wait_disconnected()


def test_resets_pieces_and_disconnects_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())
