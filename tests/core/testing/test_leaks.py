"""What is left behind is named; what is on its way out is waited for."""

import asyncio
import socket

import pytest

from asgi_llm.testing import Answer, ScriptedUpstream, no_leaks


async def test_a_task_left_running_is_named() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leak() -> None:
        async with no_leaks(0.01):
            tasks.append(asyncio.create_task(asyncio.sleep(60), name="the forgotten"))

    with pytest.raises(AssertionError, match="task the forgotten"):
        await leak()
    tasks[0].cancel()


async def test_a_socket_left_open_is_named() -> None:
    pairs: list[tuple[socket.socket, socket.socket]] = []

    async def leak() -> None:
        async with no_leaks(0.01):
            pairs.append(socket.socketpair())

    with pytest.raises(AssertionError, match=r"left behind: socket .*; socket "):
        await leak()
    for end in pairs[0]:
        end.close()


async def test_what_closes_soon_is_no_leak() -> None:
    async def soon() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async with no_leaks():
        task = asyncio.create_task(soon())
    assert task.done()


async def test_closing_what_was_open_before_is_no_leak() -> None:
    before = socket.socketpair()
    async with no_leaks():
        for end in before:
            end.close()


async def test_an_error_inside_is_not_hidden() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leak_and_fail() -> None:
        async with no_leaks(0.01):
            tasks.append(asyncio.create_task(asyncio.sleep(60)))
            raise LookupError

    with pytest.raises(LookupError):
        await leak_and_fail()
    tasks[0].cancel()


async def test_a_scripted_upstream_leaves_nothing_even_with_a_peer_connected() -> None:
    async with no_leaks():
        async with ScriptedUpstream(Answer.silence()) as upstream:
            _reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await upstream.wait_request()
        writer.close()
