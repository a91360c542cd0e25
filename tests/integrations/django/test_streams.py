"""Streams: on time, with no connection to the database held, and over when the caller leaves."""

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import httpx
import pytest
from django.contrib.auth import get_user_model
from django.core.asgi import get_asgi_application
from django.db import connection
from django.test import AsyncRequestFactory, Client

from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Stall, Wait, chat_completion, chat_events, no_leaks
from asgi_llm.testing.patience import within
from asgi_llm_django import get_gateway
from asgi_llm_django.views import llm

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
PATH = "/llm/v1/chat/completions"


def tree(upstream: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {"targets": {"up": {"provider": "openai_compatible", "base_url": f"{upstream.url}/v1"}}, **more}


def held(gate: asyncio.Event) -> Answer:
    """A stream whose last events wait until the gate is opened."""
    events = chat_events(("one", " two", " three"))
    return Answer.sse([*events[:2], Wait(gate), *events[2:]])


def endless() -> Answer:
    return Answer.sse([*chat_events()[:2], Stall()])


async def until(true: Callable[[], Any]) -> None:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.01)

    await within(wait(), 60, "what the test waits for")


@pytest.mark.parametrize("compressing", [False, True])
async def test_no_connection_is_held_while_a_model_talks(
    way: str, serve: Any, configured: Any, connections_to: Callable[[], int], compressing: bool
) -> None:
    """With CONN_MAX_AGE, with a session that is written after the view, and through middleware that compresses."""
    middleware = [
        "django.middleware.gzip.GZipMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    cookies = await asyncio.to_thread(log_in)
    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        configured(tree(upstream, auth={}), MIDDLEWARE=middleware[not compressing :], SESSION_SAVE_EVERY_REQUEST=True)
        before = connections_to()
        async with (
            serve(way) as url,
            httpx.AsyncClient(trust_env=False, cookies=cookies, timeout=60) as client,
            client.stream("POST", url + PATH, json=CHAT, headers={"x-csrftoken": cookies["csrftoken"]}) as answer,
        ):
            assert answer.status_code == 200
            assert "content-encoding" not in answer.headers
            await anext(answer.aiter_raw())
            assert connections_to() == before
            gate.set()


def log_in() -> dict[str, str]:
    users = get_user_model().objects
    user = users.filter(username="ann").first() or users.create_user("ann")
    client = Client()
    client.force_login(user)
    token = "a" * 32
    session = client.cookies["sessionid"].value
    connection.close()
    return {"sessionid": session, "csrftoken": token}


async def test_no_connection_is_held_while_a_whole_answer_is_awaited(
    way: str, serve: Any, configured: Any, connections_to: Callable[[], int]
) -> None:
    cookies = await asyncio.to_thread(log_in)
    gate = asyncio.Event()
    arrived = asyncio.Event()

    async def slow(_request: Any) -> Answer:
        arrived.set()
        await gate.wait()
        return Answer.json(chat_completion("done"))

    async with ScriptedUpstream(slow) as upstream:
        configured(tree(upstream, auth={}))
        before = connections_to()
        async with serve(way) as url, httpx.AsyncClient(trust_env=False, cookies=cookies, timeout=60) as client:
            asking = asyncio.create_task(
                client.post(url + PATH, json={**CHAT, "stream": False}, headers={"x-csrftoken": cookies["csrftoken"]})
            )
            await within(arrived.wait(), 60, "the request")
            assert connections_to() == before
            gate.set()
            assert (await asking).json()["choices"][0]["message"]["content"] == "done"


def blocking(get_response: Any) -> Any:
    """Middleware that knows nothing of asynchronous code."""

    def middleware(request: Any) -> Any:
        return get_response(request)

    return middleware


@pytest.fixture
def blocked(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import django.middleware.common as home

    monkeypatch.setattr(home, "blocking", blocking, raising=False)
    configured(MIDDLEWARE=["django.middleware.common.blocking"])


@pytest.mark.parametrize("middleware", ["none", "blocking"])
@pytest.mark.parametrize("moment", ["before the head", "between pieces", "while a send blocks", "cancelled"])
async def test_whenever_the_caller_leaves_it_is_settled_once(
    moment: str, middleware: str, configured: Any, settled: list[Any], request: pytest.FixtureRequest
) -> None:
    if moment == "cancelled" and django.VERSION < (6,):
        pytest.skip("Django 5.2 lets its view run on when a server cancels it without telling it of the disconnect")
    if middleware == "blocking":
        request.getfixturevalue("blocked")
    else:
        configured(MIDDLEWARE=[])
    flood = [*chat_events(["x" * 5000] * 100)[:100], Stall()]
    script = {"before the head": Answer.silence(), "while a send blocks": Answer.sse(flood)}
    async with no_leaks(), ScriptedUpstream([script.get(moment, endless())]) as upstream:
        configured(tree(upstream))
        driver = ASGIDriver(get_asgi_application())
        exchange = await driver.request("POST", PATH, json=CHAT)
        if moment == "before the head":
            await until(lambda: upstream.requests)
        else:
            await exchange.next_chunk()
        if moment == "while a send blocks":
            exchange.block_sends()
            await exchange.wait_blocked()
        if moment == "cancelled":
            exchange.cancel()
        else:
            exchange.disconnect()
        await upstream.requests[0].wait_disconnected()
        await until(lambda: settled)
        await driver.aclose()
        await get_gateway().aclose()
    assert [item.outcome for item in settled] == ["disconnected"]


async def test_a_response_that_nobody_closes_to_close_is_closed(configured: Any, settled: list[Any]) -> None:
    """Django forgets it where the caller leaves after the view has returned and before anything is sent."""
    async with ScriptedUpstream([endless()]) as upstream:
        configured(tree(upstream))
        request = AsyncRequestFactory().post(PATH, CHAT, content_type="application/json")
        response = await llm(request, rest="v1/chat/completions")
        assert response.status_code == 200
        del response
        await upstream.requests[0].wait_disconnected()
        await until(lambda: settled)
    assert [item.outcome for item in settled] == ["disconnected"]


async def test_draining_goes_on_after_the_caller_left(configured: Any, settled: list[Any]) -> None:
    """The usage at the end of the stream is still read."""
    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)]) as upstream:
        # Django's own middleware adds headers that are not in lower case, which the driver minds.
        configured(tree(upstream, stream={"on_disconnect": "drain"}), MIDDLEWARE=[])
        driver = ASGIDriver(get_asgi_application())
        exchange = await driver.request("POST", PATH, json=CHAT)
        await exchange.next_chunk()
        exchange.disconnect()
        await exchange.finished()
        gate.set()
        await until(lambda: settled)
    assert settled[0].outcome == "disconnected"
    assert settled[0].usage is not None


# Django 5.2 leaves the file of a request open whose answer broke off.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
async def test_an_answer_that_breaks_off_does_not_look_whole(serve: Any, configured: Any) -> None:
    """The server closes the connection where the gateway is stopped in the middle."""
    async with ScriptedUpstream([endless()]) as upstream:
        configured(tree(upstream, limits={"shutdown_grace": 0}))
        async with (
            serve("view") as url,
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("POST", url + PATH, json=CHAT) as answer,
        ):
            pieces = answer.aiter_bytes()
            await anext(pieces)
            await get_gateway().aclose()
            with pytest.raises(httpx.RemoteProtocolError):
                [piece async for piece in pieces]
    gc.collect()


async def test_streams_of_wsgi_run_in_one_loop(serve: Any, configured: Any) -> None:
    gate = asyncio.Event()
    async with ScriptedUpstream([held(gate)] * 3) as upstream:
        configured(tree(upstream))
        async with serve("wsgi") as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            asking = [asyncio.create_task(client.post(url + PATH, json=CHAT)) for _ in range(3)]
            await until(lambda: len(upstream.requests) == 3)
            assert [thread.name for thread in threading.enumerate()].count("asgi-llm") == 1
            gate.set()
            for answer in await asyncio.gather(*asking):
                assert answer.text.endswith("data: [DONE]\n\n")


def test_the_file_of_the_database_is_seen(project: Path, connections_to: Callable[[], int]) -> None:
    """What the other tests count can be counted."""
    connection.close()
    before = connections_to()
    connection.ensure_connection()
    assert connections_to() == before + 1
    connection.close()
    assert connections_to() == before
