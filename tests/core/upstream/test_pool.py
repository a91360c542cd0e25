"""Connections are reused, limited and waited for in order, and none is ever lost."""

import asyncio
import contextlib
import contextvars
import gc
import random
import socket
import weakref

import pytest
from msgspec.structs import replace

from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.upstream.interface import Timeouts

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def answer_all(peer):
    while True:
        await peer.request()
        await peer.say(OK)


@pytest.mark.once
async def test_ten_thousand_requests_in_a_row_use_one_connection(http1, serve, ask, whole):
    async with serve(answer_all) as server, http1.client(server.url) as client:
        request = ask()
        for _ in range(10_000):
            answer = await client.send(request)
            assert await answer.read() == b"ok"
            answer.close()
        assert server.accepted == 1
        assert (client.open, client.idle, client.in_use, client.waiting) == (1, 1, 0, 0)


async def test_two_hundred_at_once_all_get_their_own_answer(backend, serve, leakless, whole, ask):
    async def echo(peer):
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await asyncio.sleep(random.random() / 100)
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    count = 200 if backend.name == "http1" else 40  # httpx's pool is slow with many in flight

    async def one(number):
        body = b"%d" % number * 10
        assert await whole(await client.send(ask(body))) == body

    async with (
        leakless(),
        serve(echo) as server,
        backend.client(server.url, max_connections=count // 2, max_keepalive=count // 2) as client,
    ):
        for _ in range(3):
            await asyncio.gather(*[one(number) for number in range(count)])
        assert server.accepted <= count // 2
        assert client.in_use == 0


@pytest.mark.parametrize("limit", [1, 3])
async def test_waiters_are_served_in_order_and_the_limit_holds(http1, serve, ask, limit):
    served = []
    busy = 0

    async def script(peer):
        nonlocal busy
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            busy += 1
            assert busy <= limit
            served.append(int(body))
            await asyncio.sleep(0.001)
            busy -= 1
            await peer.say(OK)

    async with serve(script) as server, http1.client(server.url, max_connections=limit) as client:
        tasks = [asyncio.create_task(client.send(ask(b"%d" % number))) for number in range(20)]
        await asyncio.sleep(0)
        assert client.waiting == 20 - limit
        await asyncio.gather(*tasks)
        assert sorted(served) == list(range(20))
        assert limit > 1 or served == list(range(20))  # several connections arrive in any order
        assert server.accepted == limit
        assert (client.open, client.idle, client.waiting) == (limit, limit, 0)


async def test_waiting_for_a_place_is_part_of_connecting(backend, serve, ask):
    async def script(peer):
        await peer.request()
        await peer.gone()

    async with serve(script) as server, backend.client(server.url, max_connections=1) as client:
        holder = asyncio.create_task(client.send(ask()))
        while server.accepted == 0:
            await asyncio.sleep(0.001)
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask(timeouts=Timeouts(connect=0.1)))
        error = caught.value
        assert (error.cause, error.kind, error.code) == (Cause.POOL_TIMEOUT, Kind.OVERLOADED, "upstream_busy")
        holder.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holder
        assert client.in_use == 0


async def test_a_cancelled_waiter_does_not_take_the_place_with_it(http1, serve, ask, whole):
    go = asyncio.Event()

    async def script(peer):
        while True:
            await peer.request()
            await go.wait()
            await peer.say(OK)

    async with serve(script) as server, http1.client(server.url, max_connections=1) as client:
        first = asyncio.create_task(client.send(ask()))
        while server.accepted == 0:
            await asyncio.sleep(0.001)
        second, third = (asyncio.create_task(client.send(ask())) for _ in range(2))
        await asyncio.sleep(0)
        assert client.waiting == 2
        go.set()
        await first
        # The place was handed to the second in the turn that completed the first; it has not run since.
        second.cancel()
        assert await whole(await asyncio.wait_for(third, 60)) == b"ok"
        assert second.cancelled() or second.done()
        await asyncio.gather(second, return_exceptions=True)
        assert (client.in_use, client.waiting) == (0, 0)


async def test_cancelling_anywhere_leaves_nothing_behind(http1, serve, ask, whole, leakless):
    chance = random.Random(7)

    async def script(peer):
        while True:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(3):
                await peer.say(b"3\r\nabc\r\n")
                await asyncio.sleep(0)
            await peer.say(b"0\r\n\r\n")

    async def one(client):
        answer = await client.send(ask(b"x" * chance.choice((10, 300_000))))
        try:
            await whole(answer)
        finally:
            answer.close()

    async with leakless(), serve(script) as server, http1.client(server.url, max_connections=5) as client:
        for _ in range(40):
            tasks = [asyncio.create_task(one(client)) for _ in range(12)]
            for _ in range(chance.randrange(14)):
                await asyncio.sleep(0)
                chance.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (client.in_use, client.waiting) == (0, 0)
            assert client.open <= 5
        await one(client)


async def test_a_reused_connection_that_was_closed_is_replaced_once(backend, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(OK)
        await peer.request()  # and close without a word

    async with serve(script) as server, backend.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        assert await whole(await client.send(ask())) == b"ok"
        assert server.accepted == 2
        assert client.in_use == 0


async def test_the_second_loss_is_not_retried(http1, serve, ask, whole):
    async def script(peer):
        await peer.request()
        if peer.number == 1:
            await peer.say(OK)
            await peer.request()

    async with serve(script) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        with pytest.raises(UpstreamError) as caught:
            await client.send(ask())
        assert caught.value.cause is Cause.RESET
        assert server.accepted == 2
        assert client.open == 0


async def test_a_reused_connection_that_said_something_is_not_retried(http1, serve, ask, whole):
    async def script(peer):
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"H")

    async with serve(script) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        with pytest.raises(UpstreamError):
            await client.send(ask())
        assert server.accepted == 1


@pytest.mark.parametrize("how", ["close", "reset", "talk"])
async def test_an_idle_connection_that_ends_or_talks_is_dropped_at_once(http1, serve, ask, whole, how):
    act = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(OK)
        await act.wait()
        if how == "reset":
            peer.reset()
        elif how == "talk":
            await peer.say(OK)
            await peer.gone()

    async with serve(script) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        assert client.idle == 1
        act.set()
        async with asyncio.timeout(60):
            while client.open:
                await asyncio.sleep(0.001)
        assert client.idle == 0
        assert await whole(await client.send(ask())) == b"ok"
        assert server.accepted == 2


@pytest.mark.parametrize("keepalive", [60, 0.1])
async def test_idle_connections_are_limited_and_expire(http1, serve, ask, leakless, keepalive):
    async def script(peer):
        await peer.request()
        await asyncio.sleep(0.01)
        await peer.say(OK)
        await peer.gone()

    options = {"max_keepalive": 3, "keepalive": keepalive}
    kept = 3 if keepalive == 60 else 0
    async with leakless(), serve(script) as server, http1.client(server.url, **options) as client:
        await asyncio.gather(*[client.send(ask()) for _ in range(8)])
        assert client.open == client.idle <= 3
        async with asyncio.timeout(60):
            while server.finished < 8 - kept:
                await asyncio.sleep(0.005)
        assert (client.open, client.idle) == (kept, kept)


@pytest.mark.parametrize("options", [{"max_keepalive": 0}, {"keepalive": 0.0}])
async def test_keeping_alive_can_be_switched_off(http1, serve, ask, whole, options):
    async with serve(answer_all) as server, http1.client(server.url, **options) as client:
        for _ in range(3):
            assert await whole(await client.send(ask())) == b"ok"
            assert client.open == 0
        assert server.accepted == 3


async def test_the_last_one_returned_is_the_first_one_taken(http1, serve, ask, whole):
    numbers = []

    async def script(peer):
        while True:
            await peer.request()
            numbers.append(peer.number)
            await asyncio.sleep(0.01 * peer.number)
            await peer.say(OK)

    async with serve(script) as server, http1.client(server.url) as client:
        await asyncio.gather(client.send(ask()), client.send(ask()))
        await client.send(ask())
        assert numbers[2] == 2
        assert server.accepted == 2


async def test_an_answer_left_unread_gives_its_connection_back_once_it_is_whole(http1, serve, ask, whole):
    async with serve(answer_all) as server, http1.client(server.url, max_connections=1) as client:
        first = await client.send(ask())
        second = await asyncio.wait_for(client.send(ask()), 60)
        assert await whole(second) == await whole(first) == b"ok"
        first.close()
        second.close()
        assert server.accepted == 1


async def test_closing_turns_waiters_away_and_waits_for_the_sockets(http1, serve, ask, leakless):
    async def script(peer):
        await peer.request()
        await peer.gone()

    async with serve(script) as server:
        client = http1.open(server.url, max_connections=2)
        async with leakless():
            tasks = [asyncio.create_task(client.send(ask())) for _ in range(4)]
            while server.accepted < 2:
                await asyncio.sleep(0.001)
            await client.aclose()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, UpstreamError) for result in results)
            assert (client.open, client.waiting) == (0, 0)
            while server.finished < 2:
                await asyncio.sleep(0.001)


def test_a_client_is_made_without_a_loop_and_moves_on_when_its_loop_has_closed(backend, ask, whole):
    listener = socket.create_server(("127.0.0.1", 0))
    client = backend.open(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def run(*, last):
        gone = asyncio.Event()

        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
            await reader.read()
            writer.close()
            await writer.wait_closed()
            gone.set()

        server = await asyncio.start_server(answer, sock=listener.dup())
        async with server:
            assert await whole(await client.send(ask())) == b"ok"
            if last:
                await client.aclose()
            await gone.wait()

    asyncio.run(run(last=False))
    asyncio.run(run(last=True))
    listener.close()


async def test_a_client_does_not_serve_two_open_loops(backend, serve, ask, whole):
    def elsewhere():
        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(client.send(ask()))

    async with serve(answer_all) as server, backend.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        await asyncio.to_thread(elsewhere)


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_busy_connection_sets_its_timer_once_in_many_requests(http1, serve, ask, whole, monkeypatch):
    loop = asyncio.get_running_loop()
    calls = []

    def call_at(*args, **options):
        calls.append(args)
        return type(loop).call_at(loop, *args, **options)

    async with serve(answer_all) as server, http1.client(server.url) as client:
        assert await whole(await client.send(ask())) == b"ok"
        monkeypatch.setattr(loop, "call_at", call_at)
        for _ in range(500):
            assert await whole(await client.send(ask())) == b"ok"
        assert len(calls) <= 1


async def test_a_connection_keeps_nothing_of_the_context_it_was_opened_in(http1, serve, ask, whole):
    class Account:
        pass

    current = contextvars.ContextVar("current")

    async def first(client):
        account = Account()
        current.set(account)
        assert await whole(await client.send(ask())) == b"ok"
        return weakref.ref(account)

    async with serve(answer_all) as server, http1.client(server.url) as client:
        account = await asyncio.create_task(first(client))
        await asyncio.sleep(0)  # the turn that ended the task still holds it
        gc.collect()
        assert client.idle == 1
        assert account() is None


async def test_the_representation_shows_figures_and_no_secrets(http1, serve, ask):
    async with serve(answer_all) as server, http1.client(server.url) as client:
        await client.send(replace(ask(), headers=[(b"authorization", b"Bearer s3cret")]))
        assert repr(client) == "<Http1Client open=1 idle=1 in_use=0 waiting=0>"
