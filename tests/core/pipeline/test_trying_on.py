"""What follows a failed attempt: who is asked next, when, how often, and what the caller hears in the end."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.fleet.standing import standing
from asgi_llm.identity import IDENTITY_KEY
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Recorded,
    ScriptedUpstream,
    Wait,
    chat_error,
    chat_events,
    chat_text,
    messages_error,
    messages_events,
    messages_text,
    no_leaks,
)

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
NO_WAIT = {"base": 0}
Serve = Callable[..., Any]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def one(*script: Any) -> ScriptedUpstream:
            said = script[0] if len(script) == 1 else list(script)
            return await stack.enter_async_context(ScriptedUpstream(said))

        yield one


def target(*upstreams: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"provider": "openai_compatible", "api_key": "sk-upstream-secret", "retry": NO_WAIT}
    settings["workers"] = [{"url": f"{upstream.url}/v1"} for upstream in upstreams]
    return settings | more


def seconds(headers: dict[str, str]) -> int:
    """When to ask again, to the next ten: some of it may be gone when it is told."""
    return -(-int(headers["retry-after"]) // 10) * 10


class Desk:
    """A gateway, and what was settled there."""

    def __init__(self, targets: dict[str, Any], **settings: Any) -> None:
        self.settled: list[Exchange] = []
        tree = {"targets": targets, "auth": {"anonymous": True}, **settings}
        self.gateway = Gateway(tree, on_settled=self.settled.append)

    async def ask(
        self, model: str = "m", caller: str = "chat", *, begun: asyncio.Event | None = None, **more: Any
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body. ``begun`` is set when the head has come."""
        body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **more}
        exchange = await ASGIDriver(self.gateway.asgi).request("POST", PATHS[caller], json=body)
        head = await exchange.start()
        if begun is not None:
            begun.set()
        data = await exchange.body()
        await exchange.finished()
        return head.status, {name.decode(): value.decode() for name, value in head.headers}, data

    @property
    def tried(self) -> list[str]:
        """Who was asked for the last request, and what came of it."""
        return [f"{one.worker} {one.status or one.result}" for one in self.settled[-1].attempts]

    def at_rest(self) -> bool:
        runtime = self.gateway.runtime()
        crews = runtime.fleet.crews.values()
        return all(worker.load == 0 for crew in crews for worker in crew.workers)


async def test_the_only_worker_is_asked_again_where_that_helps(serve: Serve) -> None:
    upstream = await serve(Answer.reset(), chat_error(500), chat_text("Hello!"))
    desk = Desk({"up": target(upstream)})
    async with no_leaks(), desk.gateway.running():
        status, headers, _ = await desk.ask()
        assert (status, desk.tried) == (200, ["up#0 reset", "up#0 500", "up#0 200"])
        assert "x-should-retry" not in headers
        assert desk.at_rest()


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        (Answer.html(200), {}),
        (Answer.silence(), {"timeouts": {"answer": 0.05}}),
        (chat_error(400), {}),
        (chat_error(404), {}),
        (chat_error(501), {}),
    ],
    ids=["no answer", "slow", "400", "404", "501"],
)
async def test_and_only_once_where_it_does_not(serve: Serve, answer: Answer, more: dict[str, Any]) -> None:
    upstream = await serve(answer)
    desk = Desk({"up": target(upstream, **more)})
    async with desk.gateway.running():
        assert (await desk.ask())[0] != 200
    assert len(upstream.requests) == 1


async def test_no_worker_is_asked_twice_where_there_are_others(serve: Serve) -> None:
    upstreams = [await serve(chat_error(500)) for _ in range(2)]
    desk = Desk({"up": target(*upstreams, retry={"base": 0, "attempts": 9})})
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
    assert (status, headers["x-should-retry"]) == (500, "false")
    assert [len(upstream.requests) for upstream in upstreams] == [1, 1]


@pytest.mark.parametrize(
    ("said", "status", "times"), [("false", 500, 1), ("true", 400, 3)], ids=["no word stops", "a word moves"]
)
async def test_the_upstreams_own_word_counts_and_is_passed_on(serve: Serve, said: str, status: int, times: int) -> None:
    upstream = await serve(chat_error(status, headers={"x-should-retry": said}))
    desk = Desk({"up": target(upstream)})
    async with desk.gateway.running():
        got, headers, _ = await desk.ask()
    assert (got, headers["x-should-retry"], len(upstream.requests)) == (status, said, times)


@pytest.mark.parametrize("more", [{}, {"pool": {"http2": True}}], ids=["http1", "httpx"])
async def test_what_had_to_be_sent_twice_is_told(serve: Serve, more: dict[str, Any]) -> None:
    """The worker gave the idle connection up as the second request came."""
    upstream = await serve(chat_text("Hello!"), Answer.hang_up(), chat_text("Hello!"), Answer.hang_up(), Answer.reset())
    desk = Desk({"up": target(upstream, retry={"attempts": 1}, **more)}, routing={"header": True})
    async with desk.gateway.running():
        assert 'attempts="up#0 ok"' in (await desk.ask())[1]["x-llm-route"]
        status, headers, _ = await desk.ask()
        assert (status, desk.tried) == (200, ["up#0 200"])
        assert 'attempts="up#0 ok resent"' in headers["x-llm-route"]
        status, headers, _ = await desk.ask()
        assert status == 502
        assert 'attempts="up#0 reset resent"' in headers["x-llm-route"]
    assert len(upstream.requests) == 5


async def test_without_a_budget_there_is_no_second_attempt(serve: Serve) -> None:
    upstream = await serve(chat_error(500))
    desk = Desk({"up": target(upstream, retry={"base": 0, "budget": 0})})
    async with desk.gateway.running():
        await desk.ask()
    assert len(upstream.requests) == 1


async def test_the_time_for_all_attempts_is_one(serve: Serve) -> None:
    """The second attempt gets what the first has left, and a third that could not end is not begun."""
    upstream = await serve(chat_error(500), Answer.silence())
    desk = Desk({"up": target(upstream, timeouts={"total": 0.3, "answer": 600})})
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
        (worker,) = desk.gateway.runtime().fleet.crews["up"].workers
        assert worker.breaker.state(0) == "closed"  # the second failure was none of its own
    assert (status, headers["x-llm-error-code"]) == (504, "upstream_timeout")
    assert desk.tried == ["up#0 500", "up#0 total_timeout"]


async def test_a_wait_that_would_outlast_the_time_is_not_begun(serve: Serve) -> None:
    upstream = await serve(chat_error(429, headers={"retry-after": "2"}))
    desk = Desk({"up": target(upstream, timeouts={"total": 1})})
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
    assert (status, headers["retry-after"], len(upstream.requests)) == (429, "2", 1)


# whose fault it is


async def test_what_callers_do_wrong_is_held_against_no_worker(serve: Serve) -> None:
    upstream = await serve(chat_error(400))
    desk = Desk({"up": target(upstream, breaker={"failures": 2})})
    async with desk.gateway.running():
        for _ in range(9):
            assert (await desk.ask())[0] == 400
    assert len(upstream.requests) == 9


async def test_nor_is_that_they_leave(serve: Serve) -> None:
    upstream = await serve(Answer.silence())
    desk = Desk({"up": target(upstream, breaker={"failures": 1})})
    async with no_leaks(), desk.gateway.running():
        for number in range(3):
            driver = ASGIDriver(desk.gateway.asgi)
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            exchange = await driver.request("POST", PATHS["chat"], json=body)
            await upstream.wait_request(number + 1)
            exchange.disconnect()
            await exchange.finished()
        assert standing(desk.gateway.runtime().fleet.crews["up"], 0).workers[0].breaker == "closed"
        assert desk.at_rest()


async def test_one_request_at_a_time_tries_a_worker_that_was_out_of_order(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asgi_llm.fleet")
    go_on = asyncio.Event()
    upstream = await serve(chat_error(500), Answer.raw([Wait(go_on), *chat_text("Hello!").steps]), chat_text("Hello!"))
    breaker = {"failures": 1, "open_for": 0.05}
    desk = Desk({"up": target(upstream, breaker=breaker, retry={"attempts": 1})})
    async with desk.gateway.running():
        assert (await desk.ask())[0] == 500
        await asyncio.sleep(0.06)
        probe = asyncio.create_task(desk.ask())
        await upstream.wait_request(2)
        assert [(await desk.ask())[0] for _ in range(3)] == [503] * 3
        go_on.set()
        assert (await probe)[0] == 200
        assert (await desk.ask())[0] == 200
    assert [record.getMessage() for record in caplog.records] == [
        "worker up#0 fails and is passed over for a while: status 500",
        "worker up#0 answers again",
    ]


# cooldown


async def test_who_says_429_is_passed_over_until_then(serve: Serve) -> None:
    busy = await serve(chat_error(429, headers={"retry-after": "7"}))
    well = await serve(chat_text("Hello!"))
    desk = Desk({"up": target(busy, well)})
    async with desk.gateway.running():
        for _ in range(6):
            assert (await desk.ask())[0] == 200
        runtime = desk.gateway.runtime()
        found = standing(runtime.fleet.crews["up"], runtime.loop.time()).workers
        assert [worker.breaker for worker in found] == ["closed", "closed"]
        assert 0 < found[0].cooling["m"] <= 7
        assert found[1].cooling == {}
        await desk.ask("another-model")
        await desk.ask("another-model")
    assert [request.json["model"] for request in busy.requests] == ["m", "another-model"]


@pytest.mark.parametrize("caller", ["chat", "messages"])
async def test_where_all_are_at_their_limits_the_caller_hears_when_the_first_is_free(serve: Serve, caller: str) -> None:
    upstreams = [await serve(chat_error(429, headers={"retry-after": str(seconds)})) for seconds in (30, 20, 40)]
    desk = Desk({"up": target(*upstreams)})
    async with desk.gateway.running():
        first, headers, _ = await desk.ask(caller=caller)
        assert (first, seconds(headers)) == (429, 20)
        status, headers, body = await desk.ask(caller=caller)
    assert (status, headers["x-llm-error-code"], seconds(headers)) == (429, "all_workers_cooling_down", 20)
    assert "x-should-retry" not in headers
    assert json.loads(body)["error"]["type"].startswith("rate_limit")
    assert sum(len(upstream.requests) for upstream in upstreams) == 3


async def test_nobody_left_is_told_from_being_at_the_limit(serve: Serve) -> None:
    upstream = await serve(chat_error(500))
    desk = Desk({"up": target(upstream, breaker={"failures": 1, "open_for": 10}, retry={"attempts": 1})})
    async with desk.gateway.running():
        await desk.ask()
        status, headers, _ = await desk.ask()
    assert (status, headers["x-llm-error-code"], seconds(headers)) == (503, "no_available_workers", 10)


async def test_a_short_limit_of_the_only_worker_is_waited_for(serve: Serve) -> None:
    upstream = await serve(chat_error(429, headers={"retry-after-ms": "60"}), chat_text("Hello!"))
    desk = Desk({"up": target(upstream)})
    async with desk.gateway.running():
        status, _, _ = await desk.ask()
    assert (status, desk.tried) == (200, ["up#0 429", "up#0 200"])


async def test_nobody_waits_for_one_target_where_another_can_serve(serve: Serve) -> None:
    busy, well = await serve(chat_error(429, headers={"retry-after": "4"})), await serve(chat_text("Hello!"))
    desk = Desk({"first": target(busy), "second": target(well)}, **routed("second"))
    async with desk.gateway.running():
        for expected in (["first#0 429", "second#0 200"], ["second#0 200"]):
            assert (await desk.ask())[0] == 200
            assert desk.tried == expected


async def test_a_long_one_is_the_callers_to_wait_for_and_nobody_asks_meanwhile(serve: Serve) -> None:
    upstream = await serve(chat_error(429, headers={"retry-after-ms": "8250"}))
    desk = Desk({"up": target(upstream)})
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
        assert (status, headers["retry-after"]) == (429, "9")
        assert 8000 < int(headers["retry-after-ms"]) <= 8250  # the caller is told what is left of it
        assert (await desk.ask())[0] == 429
    assert len(upstream.requests) == 1


async def test_a_date_is_understood_of_an_upstream_that_has_no_clock(serve: Serve) -> None:
    soon = formatdate(time.time() + 50, usegmt=True)
    upstream = await serve(chat_error(429, headers={"retry-after": soon}))
    desk = Desk({"up": target(upstream)})
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
    assert status == 429
    assert 20 < int(headers["retry-after"]) <= 50


@pytest.mark.parametrize(("caller", "told"), [("chat", ("5", "their-id")), ("messages", (None, None))])
async def test_callers_of_its_own_dialect_see_how_they_stand_upstream(
    serve: Serve, caller: str, told: tuple[str | None, str | None]
) -> None:
    upstream = await serve(chat_error(429, headers={"x-ratelimit-reset-tokens": "5", "x-request-id": "their-id"}))
    desk = Desk({"up": target(upstream)})
    async with desk.gateway.running():
        _, headers, _ = await desk.ask(caller=caller)
    assert headers.get("x-ratelimit-reset-tokens") == told[0]
    own = "request-id" if caller == "messages" else "x-request-id"
    assert headers[own] == (told[1] or headers["x-llm-request-id"])


async def test_no_limit_lasts_longer_than_the_settings_have_it(serve: Serve) -> None:
    upstream = await serve(chat_error(429, headers={"retry-after": "86400"}))
    desk = Desk({"up": target(upstream, retry={"cooldown": 10})})
    async with desk.gateway.running():
        await desk.ask()
        _, headers, _ = await desk.ask()
    assert seconds(headers) == 10


async def test_an_overloaded_worker_is_left_alone_if_it_says_for_how_long(serve: Serve) -> None:
    busy = await serve(messages_error(529, headers={"retry-after": "5"}))
    well = await serve(messages_text("Hello!"))
    desk = Desk({"up": target(busy, well, provider="anthropic")})
    async with desk.gateway.running():
        for _ in range(4):
            assert (await desk.ask(caller="messages"))[0] == 200
    assert len(busy.requests) == 1


async def test_where_all_are_overloaded_the_caller_is_at_no_limit(serve: Serve) -> None:
    upstreams = [await serve(chat_error(503, headers={"retry-after": str(seconds)})) for seconds in (30, 20, 40)]
    desk = Desk({"up": target(*upstreams)})
    async with desk.gateway.running():
        first, headers, _ = await desk.ask()
        assert first == 503
        status, headers, _ = await desk.ask()
        assert (status, headers["x-llm-error-code"], seconds(headers)) == (503, "all_workers_overloaded", 20)
    assert sum(len(upstream.requests) for upstream in upstreams) == 3
    # One that is at its limit makes it a limit: whoever keeps to that is served.
    upstreams = [await serve(chat_error(status, headers={"retry-after": "30"})) for status in (503, 429)]
    desk = Desk({"up": target(*upstreams)})
    async with desk.gateway.running():
        await desk.ask()
        status, headers, _ = await desk.ask()
    assert (status, headers["x-llm-error-code"]) == (429, "all_workers_cooling_down")


IN_BAND = [
    ("openai_compatible", "chat", chat_events, {"code": 429, "type": "rate_limit_exceeded", "message": "slow down"}),
    ("anthropic", "messages", messages_events, {"type": "overloaded_error", "message": "Overloaded"}),
]


@pytest.mark.parametrize(("provider", "caller", "events", "said"), IN_BAND)
async def test_a_limit_told_in_the_middle_of_an_answer_counts_as_well(
    serve: Serve, provider: str, caller: str, events: Callable[[], list[Any]], said: dict[str, Any]
) -> None:
    go_on = asyncio.Event()
    busy = await serve(Answer.sse([*events()[:2], Wait(go_on), {"type": "error", "error": said}]))
    well = await serve(Answer.sse(events()))
    desk = Desk({"up": target(busy, well, provider=provider)})
    async with desk.gateway.running():
        assert (await desk.ask(caller=caller, begun=go_on, stream=True))[0] == 200
        assert (desk.settled[-1].outcome, desk.tried) == ("interrupted", ["up#0 200"])
        runtime = desk.gateway.runtime()
        found = standing(runtime.fleet.crews["up"], runtime.loop.time()).workers
        assert 0 < found[0].cooling["m"] <= 1
        await desk.ask(caller=caller, stream=True)
        assert (desk.settled[-1].outcome, desk.tried) == ("ok", ["up#1 200"])
        assert desk.at_rest()


async def test_a_limit_told_in_the_middle_of_an_answer_is_that_of_its_key(serve: Serve) -> None:
    said = {"code": 429, "type": "rate_limit_exceeded", "message": "slow down"}
    go_on = asyncio.Event()
    broken = Answer.sse([*chat_events()[:2], Wait(go_on), {"error": said}])
    upstream = await serve(by_key({"sk-one": broken, "sk-two": Answer.sse(chat_events())}))
    desk = Desk({"up": keyed(upstream, "sk-one", "sk-two")})
    async with desk.gateway.running():
        outcomes = []
        for _ in range(3):
            await desk.ask(begun=go_on, stream=True)
            outcomes.append((desk.settled[-1].outcome, desk.settled[-1].attempts[0].key))
    assert outcomes == [("interrupted", 0), ("ok", 1), ("ok", 1)]


# keys


def by_key(answers: dict[str, Answer]) -> Callable[[Recorded], Answer]:
    return lambda request: answers[str(request.header("authorization")).removeprefix("Bearer ")]


def keyed(upstream: ScriptedUpstream, *keys: str, **more: Any) -> dict[str, Any]:
    settings = target(upstream, api_keys=list(keys), **more)
    del settings["api_key"]
    return settings


def keys_of(upstream: ScriptedUpstream) -> list[str]:
    return [str(request.header("authorization")).removeprefix("Bearer ") for request in upstream.requests]


async def test_keys_take_turns(serve: Serve) -> None:
    upstream = await serve(chat_text("Hello!"))
    desk = Desk({"up": keyed(upstream, "sk-a", "sk-b", "sk-c")})
    async with desk.gateway.running():
        for _ in range(6):
            await desk.ask()
    assert keys_of(upstream) == ["sk-a", "sk-b", "sk-c"] * 2
    assert [exchange.attempts[0].key for exchange in desk.settled] == [0, 1, 2] * 2


@pytest.mark.parametrize(
    "no",
    [
        chat_error(401),
        chat_error(403),
        chat_error(429, headers={"retry-after": "9"}),
        chat_error(429, code="insufficient_quota"),
    ],
    ids=["401", "403", "429", "no money"],
)
async def test_a_key_that_is_refused_gives_way_to_the_next(
    serve: Serve, no: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    upstream = await serve(by_key({"sk-a": no, "sk-b": chat_text("Hello!")}))
    desk = Desk({"up": keyed(upstream, "sk-a", "sk-b")})
    async with desk.gateway.running():
        for _ in range(4):
            assert (await desk.ask())[0] == 200
        found = standing(desk.gateway.runtime().fleet.crews["up"], desk.gateway.runtime().loop.time())
        assert [bool(key.out) for key in found.keys] == [True, False]
        assert found.workers[0].cooling == {}
    assert keys_of(upstream) == ["sk-a", "sk-b", "sk-b", "sk-b", "sk-b"]
    assert "sk-a" not in caplog.text


async def test_the_limits_of_a_callers_own_key_are_nobody_elses(serve: Serve) -> None:
    limited = chat_error(429, headers={"retry-after": "30"})
    upstream = await serve(by_key({"sk-own": limited, "sk-upstream-secret": chat_text("Hello!")}))
    desk = Desk({"up": target(upstream)})
    own = Identity(subject="ann", upstream_keys={"up": "sk-own"})

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await desk.gateway.asgi({**scope, IDENTITY_KEY: own}, receive, send)

    async with desk.gateway.running():
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(host).request("POST", PATHS["chat"], json=body)
        assert (await exchange.start()).status == 429
        await exchange.finished()
        assert (await desk.ask())[0] == 200
    assert keys_of(upstream) == ["sk-own", "sk-upstream-secret"]


async def test_all_keys_at_their_limits_are_told_like_all_workers(serve: Serve) -> None:
    upstream = await serve(chat_error(429, headers={"retry-after": "9"}))
    desk = Desk({"up": keyed(upstream, "sk-a", "sk-b")})
    async with desk.gateway.running():
        assert (await desk.ask())[0] == 429
        status, headers, _ = await desk.ask()
    assert (status, headers["x-llm-error-code"]) == (429, "all_workers_cooling_down")
    assert keys_of(upstream) == ["sk-a", "sk-b"]


async def test_all_keys_refused_is_no_fault_of_the_callers(serve: Serve) -> None:
    upstream = await serve(chat_error(401))
    desk = Desk({"up": keyed(upstream, "sk-a", "sk-b")})
    async with desk.gateway.running():
        for _ in range(2):
            status, headers, body = await desk.ask()
            assert (status, headers["x-llm-error-code"]) == (503, "upstream_authentication")
            assert b"sk-" not in body
    assert keys_of(upstream) == ["sk-a", "sk-b", "sk-a"]  # once they are known to be refused, one is asked to be sure


# legs


def routed(*fallback: Any, **more: Any) -> dict[str, Any]:
    return {"routes": [{"model": "*", "target": "first", "fallback": list(fallback)}], **more}


async def test_a_fallback_may_name_another_model_and_gets_the_original(serve: Serve) -> None:
    first, second = await serve(chat_error(500)), await serve(messages_text("Hello!"))
    targets = {"first": target(first), "second": target(second, provider="anthropic", models={"big": "claude-big"})}
    desk = Desk(targets, **routed({"target": "second", "model": "big"}))
    async with desk.gateway.running():
        status, _, body = await desk.ask("gpt-x")
    assert status == 200
    assert second.requests[0].json["model"] == "claude-big"
    assert second.requests[0].json["messages"][0]["role"] == "user"
    assert json.loads(body)["model"] == "gpt-x"


async def test_a_fallback_that_cannot_express_the_request_is_passed_over(serve: Serve) -> None:
    """What went wrong stays what it was: the caller's request is in order."""
    first, second, third = await serve(chat_error(500)), await serve(), await serve(chat_text("Hello!"))
    targets = {"first": target(first), "second": target(second, provider="anthropic"), "third": target(third)}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    said = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, sound]}]
    for fallback, expected in ((["second"], 500), (["second", "third"], 200)):
        desk = Desk(targets, **routed(*fallback))
        async with desk.gateway.running():
            assert (await desk.ask(messages=said))[0] == expected


async def test_the_renamed_model_must_be_permitted(serve: Serve) -> None:
    first, second = await serve(chat_error(500)), await serve()
    targets = {"first": target(first), "second": target(second, allow=["small-*"])}
    desk = Desk(targets, **routed({"target": "second", "model": "big"}))
    async with desk.gateway.running():
        assert (await desk.ask("small-one"))[0] == 500


TOO_LONG = chat_error(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")


async def test_a_request_too_long_goes_to_the_larger_model_only(serve: Serve) -> None:
    first, same, large = await serve(TOO_LONG), await serve(), await serve(chat_text("Hello!"))
    targets = {"first": target(first), "same": target(same), "large": target(large)}
    desk = Desk(targets, **routed("same", {"target": "large", "model": "long", "on": "overflow"}))
    async with desk.gateway.running():
        status, _, _ = await desk.ask()
    assert (status, desk.tried) == (200, ["first#0 400", "large#0 200"])
    assert desk.settled[-1].why == "overflow"


async def test_and_a_failure_does_not(serve: Serve) -> None:
    first, large = await serve(chat_error(500)), await serve()
    desk = Desk({"first": target(first), "large": target(large)}, **routed({"target": "large", "on": "overflow"}))
    async with desk.gateway.running():
        assert (await desk.ask())[0] == 500


async def test_without_a_larger_one_the_caller_hears_that_it_is_too_long(serve: Serve) -> None:
    first, same = await serve(TOO_LONG), await serve()
    desk = Desk({"first": target(first), "same": target(same)}, **routed("same"))
    async with desk.gateway.running():
        status, headers, _ = await desk.ask()
    assert (status, headers["x-llm-error-code"], desk.tried) == (400, "context_length_exceeded", ["first#0 400"])


async def test_one_target_may_be_asked_for_two_models(serve: Serve) -> None:
    def by_model(request: Recorded) -> Answer:
        return TOO_LONG if request.json["model"] == "short" else chat_text("Hello!")

    upstream = await serve(by_model)
    desk = Desk({"first": target(upstream)}, **routed({"target": "first", "model": "long", "on": "any"}))
    async with desk.gateway.running():
        assert (await desk.ask("short"))[0] == 200
    assert [request.json["model"] for request in upstream.requests] == ["short", "long"]


# what is told


async def test_the_way_is_told_where_the_settings_let_it(serve: Serve) -> None:
    bad, well = await serve(chat_error(500)), await serve(chat_text("Hello!"))
    desk = Desk({"first": target(bad), "second": target(well)}, **routed("second", routing={"header": True}))
    async with desk.gateway.running():
        _, headers, _ = await desk.ask()
    assert headers["x-llm-route"] == (
        'rung=route; route="*"; leg=2; target=second; mode=patched; worker=second#0; why=fallback; '
        'attempts="first#0 status 500, first#0 status 500, first#0 status 500, second#0 ok"'
    )


async def test_and_of_failures_too(serve: Serve) -> None:
    upstream = await serve(Answer.reset())
    desk = Desk({"only": target(upstream, retry={"attempts": 1})}, routing={"header": True})
    async with desk.gateway.running():
        _, headers, _ = await desk.ask()
    assert headers["x-llm-route"] == (
        'rung=single; leg=1; target=only; mode=patched; worker=only#0; why=first; attempts="only#0 reset"'
    )
    assert "127.0.0.1" not in headers["x-llm-route"]


async def test_it_is_not_told_unasked(serve: Serve) -> None:
    desk = Desk({"only": target(await serve(chat_text("Hello!")))})
    async with desk.gateway.running():
        assert "x-llm-route" not in (await desk.ask())[1]
