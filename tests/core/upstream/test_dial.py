"""Names with several addresses: the first that answers is taken, and no socket of the others is left."""

import asyncio
import contextlib
import socket

import pytest

from asgi_llm.upstream.dial import _interleaved, _race


def _info(listener):
    return socket.AF_INET, listener.getsockname()


@pytest.fixture
def open_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield _info(listener)


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return _info(listener)


@pytest.fixture
def silent_port():
    """Its backlog is full: a further handshake is never answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield _info(listener)


async def test_an_address_that_refuses_gives_way_at_once(leakless, open_port, closed_port):
    async with leakless():
        before = asyncio.get_running_loop().time()
        with await _race(asyncio.get_running_loop(), [closed_port, closed_port, open_port]) as sock:
            assert sock.getpeername() == open_port[1]
        assert asyncio.get_running_loop().time() - before < 0.2


async def test_an_address_that_is_silent_gets_company_after_its_head_start(leakless, open_port, silent_port):
    async with leakless():
        before = asyncio.get_running_loop().time()
        with await _race(asyncio.get_running_loop(), [silent_port, open_port]) as sock:
            assert sock.getpeername() == open_port[1]
        assert 0.2 < asyncio.get_running_loop().time() - before < 1


async def test_when_all_refuse_the_failure_is_theirs(leakless, closed_port):
    async with leakless():
        with pytest.raises(ConnectionRefusedError):
            await _race(asyncio.get_running_loop(), [closed_port, closed_port])


async def test_cancelling_leaves_no_socket(leakless, silent_port):
    async with leakless():
        task = asyncio.create_task(_race(asyncio.get_running_loop(), [silent_port, silent_port]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_families_take_turns():
    six, four = socket.AF_INET6, socket.AF_INET
    infos = [(six, ("a",)), (six, ("b",)), (four, ("c",)), (six, ("d",)), (four, ("e",))]
    assert _interleaved(infos) == [(six, ("a",)), (four, ("c",)), (six, ("b",)), (four, ("e",)), (six, ("d",))]
    with pytest.raises(OSError):
        _interleaved([])
