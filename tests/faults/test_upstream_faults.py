"""Upstreams that are away, slow, broken or lying: a clear error in the caller's dialect, another worker where one can
help, and never anything that looks like success."""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Reset,
    ScriptedUpstream,
    Stall,
    Wait,
    chat_error,
    chat_events,
    chat_stream,
    chat_text,
    messages_error,
    messages_events,
    messages_text,
    no_leaks,
    responses_events,
)

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PROVIDER = {"chat": "openai_compatible", "messages": "anthropic", "responses": "openai"}
TEXT = {"chat": chat_text, "messages": messages_text}
EVENTS: dict[str, Any] = {"chat": chat_events, "messages": messages_events, "responses": responses_events}
QUICK = {"first_byte": 0.15, "answer": 0.15, "idle": 0.15}
"""Where an upstream says nothing more, so that this is waited out; one that has something to say is not hurried."""
ONCE = {"attempts": 1}

pairs = pytest.mark.parametrize(
    ("caller", "speaks"),
    [
        ("chat", "chat"),
        ("messages", "messages"),
        ("responses", "responses"),
        ("chat", "messages"),
        ("messages", "chat"),
    ],
    ids=["chat", "messages", "responses", "chat-messages", "messages-chat"],
)
modes = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def target(speaks: str, *urls: str, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"provider": PROVIDER[speaks], "api_key": "sk-upstream-secret", "dialects": [speaks]}
    settings |= {"workers": [{"url": f"{url}/v1"} for url in urls], "retry": ONCE}
    return settings | more


class Desk:
    """A gateway in front of scripted upstreams; counts what was settled."""

    def __init__(self, targets: dict[str, Any], **settings: Any) -> None:
        self.settled: list[Exchange] = []
        tree = {"targets": targets, "auth": {"anonymous": True}, **settings}
        self.gateway = Gateway(tree, on_settled=self.settled.append)

    async def ask(self, caller: str, *, stream: bool = False, model: str = "m") -> tuple[int, dict[str, str], bytes]:
        body: dict[str, Any] = {"model": model, "stream": stream}
        turns = [{"role": "user", "content": "hi"}]
        body |= {"input": "hi"} if caller == "responses" else {"messages": turns}
        if caller == "messages":
            body["max_tokens"] = 100
        exchange = await ASGIDriver(self.gateway.asgi).request("POST", PATHS[caller], json=body)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return head.status, headers, data


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of somebody who does not listen."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


def check_error(caller: str, headers: dict[str, str], body: bytes, *, code: str) -> str:
    """The message of an error in the caller's dialect; nothing of the inside shows in it."""
    assert headers["content-type"] == "application/json"
    assert headers["x-llm-error-code"] == code
    value = json.loads(body)
    if caller == "messages":
        assert value["type"] == "error"
        assert set(value["error"]) >= {"type", "message"}
    else:
        assert set(value["error"]) >= {"type", "message", "code", "param"}
    for secret in (b"127.0.0.1", b"sk-upstream-secret", b"Traceback", b".py"):
        assert secret not in body
    return str(value["error"]["message"])


FAULTS: dict[str, tuple[Answer, int, str]] = {
    "never answers": (Answer.silence(), 504, "upstream_timeout"),
    "hangs up": (Answer.hang_up(), 502, "upstream_reset"),
    "resets": (Answer.reset(), 502, "upstream_reset"),
    "says garbage": (Answer.raw([b"SMTP ready\r\n\r\n"]), 502, "upstream_protocol_error"),
    "answers HTML": (Answer.html(200), 502, "upstream_invalid_answer"),
    "error page": (Answer.html(502), 502, "upstream_error"),
    "truncated body": (Answer.json({"choices": []}, truncated=True), 502, "upstream_reset"),
    "claims more than it sends": (Answer.json({"choices": []}, content_length=5000), 504, "upstream_timeout"),
    "cut JSON": (
        Answer.http([b'{"choices": [{'], headers={"content-type": "application/json"}),
        502,
        "upstream_invalid_answer",
    ),
    "JSON null": (Answer.json(None), 502, "upstream_invalid_answer"),
}


@pairs
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_upstream_is_an_error_in_the_callers_words(
    caller: str, speaks: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, status, code = FAULTS[fault]
    async with no_leaks(), ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target(speaks, upstream.url, timeouts=QUICK if status == 504 else {})})
        async with desk.gateway.running():
            got, headers, body = await desk.ask(caller)
            assert got == status
            assert check_error(caller, headers, body, code=headers["x-llm-error-code"])
            assert headers["x-llm-error-code"] == code
    assert [item.outcome for item in desk.settled] == ["upstream_error"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pairs
@modes
async def test_nobody_listens(caller: str, speaks: str, stream: bool, deaf: str) -> None:
    async with no_leaks():
        desk = Desk({"up": target(speaks, deaf)})
        async with desk.gateway.running():
            status, headers, body = await desk.ask(caller, stream=stream)
    assert status == 502
    check_error(caller, headers, body, code="upstream_unreachable")


STREAM_FAULTS: dict[str, Any] = {
    "ends without its terminal event": lambda events: Answer.sse(events[: len(events) // 2]),
    "is cut off": lambda events: Answer.sse(events[: len(events) // 2], truncated=True),
    "is reset": lambda events: Answer.sse([*events[: len(events) // 2], Reset()]),
    "falls silent": lambda events: Answer.sse([*events[: len(events) // 2], Stall()]),
    "stops in the middle of an event": lambda events: Answer.sse([*events[:2], b'data: {"id": "x", "cho']),
}


@pairs
@pytest.mark.parametrize("fault", STREAM_FAULTS)
async def test_a_stream_that_breaks_off_never_looks_whole(caller: str, speaks: str, fault: str) -> None:
    """The error is told in-band, and no terminal event that means success follows."""
    answer = STREAM_FAULTS[fault](EVENTS[speaks](("Hel", "lo", " there")))
    limits = {"idle": 0.15} if fault == "falls silent" else {}
    async with no_leaks(), ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target(speaks, upstream.url, timeouts=limits)})
        async with desk.gateway.running():
            status, headers, body = await desk.ask(caller, stream=True)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    for success in (b"[DONE]", b"message_stop", b"response.completed", b'"finish_reason":"stop"'):
        assert success not in body
    endings = {"chat": b'"error"', "messages": b"event: error", "responses": b"event: response.failed"}
    assert body.count(endings[caller]) == 1
    assert body.endswith(b"\n\n")
    assert [item.outcome for item in desk.settled] == ["interrupted"]


@pairs
async def test_an_empty_stream_is_an_error_with_a_status(caller: str, speaks: str) -> None:
    async with no_leaks(), ScriptedUpstream(Answer.sse([])) as upstream:
        desk = Desk({"up": target(speaks, upstream.url)})
        async with desk.gateway.running():
            status, headers, body = await desk.ask(caller, stream=True)
    assert status == 502
    check_error(caller, headers, body, code=headers["x-llm-error-code"])


IN_BAND = {
    "chat": Answer.sse([{"error": {"message": "No capacity.", "type": "server_error", "code": 503}}]),
    "messages": Answer.sse([{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}]),
    "responses": Answer.sse([{"type": "error", "code": "server_error", "message": "No.", "sequence_number": 0}]),
}


@pairs
async def test_an_error_as_the_first_event_is_an_error_with_a_status(caller: str, speaks: str) -> None:
    async with no_leaks(), ScriptedUpstream(IN_BAND[speaks]) as upstream:
        desk = Desk({"up": target(speaks, upstream.url)})
        async with desk.gateway.running():
            status, headers, body = await desk.ask(caller, stream=True)
    assert status >= 500
    check_error(caller, headers, body, code=headers["x-llm-error-code"])


@pytest.mark.parametrize("caller", ["chat", "messages"])
@modes
@pytest.mark.parametrize("fault", ["nobody listens", "resets", "500", "503", "429", "html", "silent", "in-band"])
async def test_another_worker_mends_what_one_broke(caller: str, stream: bool, fault: str, deaf: str) -> None:
    """Before the first byte a failure costs the caller nothing, and the worker that failed is not asked again."""
    faults = {
        "resets": Answer.reset(),
        "500": chat_error(500),
        "503": chat_error(503),
        "429": chat_error(429),
        "html": Answer.html(200),
        "silent": Answer.silence(),
        "in-band": IN_BAND["chat"] if stream else Answer.json({"error": {"message": "No.", "code": 502}}),
    }
    good = chat_stream(("Hello!",)) if stream else chat_text("Hello!")
    async with no_leaks(), ScriptedUpstream(faults.get(fault, good)) as bad, ScriptedUpstream(good) as well:
        first = deaf if fault == "nobody listens" else bad.url
        limits = {"first_byte": 0.8, "answer": 0.8} if fault == "silent" else {}
        desk = Desk({"up": target("chat", first, well.url, retry={"attempts": 3, "base": 0}, timeouts=limits)})
        async with desk.gateway.running() as gateway:
            status, _, body = await desk.ask(caller, stream=stream)
            assert [worker.load for worker in gateway.runtime().fleet.crews["up"].workers] == [0, 0]
        assert status == 200
        assert b"Hello!" in body
        assert len(well.requests) == 1
    (settled,) = desk.settled
    assert settled.outcome == "ok"
    assert [attempt.worker for attempt in settled.attempts] == ["up#0", "up#1"]
    assert settled.attempts[-1].result == "ok"


async def test_no_worker_is_asked_twice_in_one_exchange() -> None:
    async with ScriptedUpstream(chat_error(500)) as one, ScriptedUpstream(chat_error(500)) as two:
        desk = Desk({"up": target("chat", one.url, two.url, retry={"attempts": 5, "base": 0})})
        async with desk.gateway.running():
            status, _, _ = await desk.ask("chat")
        assert status == 500
        assert (len(one.requests), len(two.requests)) == (1, 1)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_the_callers_own_mistake_is_not_tried_again(status: int) -> None:
    async with ScriptedUpstream(chat_error(status, "Wrong.", kind="invalid_request_error")) as upstream:
        targets = {"up": target("chat", upstream.url, retry={"attempts": 3}), "other": target("chat", upstream.url)}
        desk = Desk(targets, routes=[{"model": "*", "target": "up", "fallback": ["other"]}])
        async with desk.gateway.running():
            got, _, body = await desk.ask("chat")
        assert got == status
        assert b"Wrong." in body
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("caller", ["chat", "messages"])
@modes
async def test_the_next_leg_serves_in_another_dialect(caller: str, stream: bool) -> None:
    """A fallback to a target that speaks another dialect is encoded anew from the original request."""
    good = chat_stream(("Hello!",)) if stream else chat_text("Hello!")
    async with no_leaks(), ScriptedUpstream(messages_error(529)) as down, ScriptedUpstream(good) as well:
        targets = {
            "claude": target("messages", down.url, models={"m": "claude-sonnet-5"}),
            "local": target("chat", well.url, models={"m": "qwen"}),
        }
        desk = Desk(targets, routes=[{"model": "m", "target": "claude", "fallback": ["local"]}])
        async with desk.gateway.running():
            status, _, body = await desk.ask(caller, stream=stream)
        assert status == 200
        assert b"Hello!" in body
        assert down.requests[0].path == "/v1/messages"
        assert down.requests[0].json["model"] == "claude-sonnet-5"
        assert well.requests[0].path == "/v1/chat/completions"
        assert well.requests[0].json["model"] == "qwen"


async def test_a_denied_model_is_final_and_never_reaches_an_upstream() -> None:
    async with ScriptedUpstream([]) as upstream:
        targets = {"up": target("chat", upstream.url, deny=["m"]), "other": target("chat", upstream.url)}
        desk = Desk(targets, routes=[{"model": "*", "target": "up", "fallback": ["other"]}])
        async with desk.gateway.running():
            status, headers, body = await desk.ask("messages")
        assert status == 403
        check_error("messages", headers, body, code="model_not_permitted")
        assert upstream.requests == []
    assert [item.outcome for item in desk.settled] == ["denied"]


async def test_a_fallback_that_may_not_serve_the_model_is_left_out() -> None:
    async with ScriptedUpstream(chat_error(503)) as up, ScriptedUpstream([]) as other:
        targets = {"up": target("chat", up.url), "other": target("chat", other.url, allow=["gpt-*"])}
        desk = Desk(targets, routes=[{"model": "*", "target": "up", "fallback": ["other"]}])
        async with desk.gateway.running():
            status, _, _ = await desk.ask("chat")
        assert status == 503
        assert other.requests == []


async def test_an_alias_that_leads_to_a_denied_model_is_denied() -> None:
    async with ScriptedUpstream([]) as upstream:
        desk = Desk({"up": target("chat", upstream.url, deny=["secret-*"], models={"nice": "secret-1"})})
        async with desk.gateway.running():
            status, _, _ = await desk.ask("chat", model="nice")
        assert status == 403
        assert upstream.requests == []


async def test_a_worker_that_keeps_failing_is_passed_over() -> None:
    """After enough failures the breaker opens, and requests go to the others at once."""
    async with ScriptedUpstream(chat_error(500)) as bad, ScriptedUpstream(chat_text()) as well:
        more = {"retry": {"attempts": 2, "base": 0}, "breaker": {"failures": 3, "open_for": 60}}
        desk = Desk({"up": target("chat", bad.url, well.url, **more)})
        async with desk.gateway.running():
            for _ in range(20):
                status, _, _ = await desk.ask("chat")
                assert status == 200
        assert len(bad.requests) == 3
        assert len(well.requests) == 20


async def test_all_workers_passed_over_says_so_and_when_to_come_back() -> None:
    async with ScriptedUpstream(chat_error(500)) as bad:
        desk = Desk({"up": target("chat", bad.url, breaker={"failures": 1, "open_for": 60})})
        async with desk.gateway.running():
            assert (await desk.ask("chat"))[0] == 500
            status, headers, body = await desk.ask("messages")
        assert status == 529
        check_error("messages", headers, body, code="no_available_workers")
        assert int(headers["retry-after"]) >= 1
        assert len(bad.requests) == 1


async def test_an_upstreams_own_error_passes_unchanged_when_the_dialects_match() -> None:
    """Agents go by the wording of their provider's errors."""
    answer = messages_error(400, "prompt is too long: 210000 tokens > 200000 maximum", kind="invalid_request_error")
    async with ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target("messages", upstream.url)})
        async with desk.gateway.running():
            status, _, body = await desk.ask("messages")
        assert status == 400
        assert body == answer.steps[-1]


async def test_another_dialects_error_is_told_in_the_callers_words_though_the_dialects_match() -> None:
    """llama.cpp answers Messages requests with the errors of Chat Completions."""
    answer = chat_error(400, "request (9021 tokens) exceeds the available context size (8192 tokens)")
    async with ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target("messages", upstream.url)})
        async with desk.gateway.running():
            status, headers, body = await desk.ask("messages")
        assert status == 400
        check_error("messages", headers, body, code="context_length_exceeded")


@pairs
async def test_an_engines_words_for_a_full_context_are_understood(caller: str, speaks: str) -> None:
    """As llama.cpp says it, in whichever dialect it was asked."""
    message = "request (9021 tokens) exceeds the available context size (8192 tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    async with ScriptedUpstream(Answer.json({"error": error}, status=400)) as upstream:
        desk = Desk({"up": target(speaks, upstream.url)})
        async with desk.gateway.running():
            status, headers, _ = await desk.ask(caller)
    assert status == 400
    assert headers["x-llm-error-code"] == "context_length_exceeded"


@pytest.mark.parametrize("status", [401, 403])
@pairs
async def test_the_gateways_own_credentials_failing_is_not_the_callers_401(
    caller: str, speaks: str, status: int
) -> None:
    """A client that is told 401 throws its login away."""
    answer = messages_error(status, "invalid x-api-key: sk-upstream-secret", kind="authentication_error")
    async with ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target(speaks, upstream.url)})
        async with desk.gateway.running():
            got, headers, body = await desk.ask(caller)
        assert got == (529 if caller == "messages" else 503)
        check_error(caller, headers, body, code="upstream_authentication")


@pairs
async def test_retry_after_is_kept(caller: str, speaks: str) -> None:
    error = (messages_error if speaks == "messages" else chat_error)(429, "Slow down.", headers={"retry-after": "17"})
    async with ScriptedUpstream(error) as upstream:
        desk = Desk({"up": target(speaks, upstream.url)})
        async with desk.gateway.running():
            status, headers, _ = await desk.ask(caller)
    assert status == 429
    assert headers["retry-after"] == "17"


async def test_keep_alives_hold_a_stream_open_and_later_errors_are_told_in_band() -> None:
    """After the status is out, an upstream that fails can only be told in the stream; another worker still may help."""
    async with no_leaks(), ScriptedUpstream(Answer.silence()) as slow, ScriptedUpstream(chat_stream()) as well:
        quick = {"timeouts": {"first_byte": 0.8}, "retry": {"attempts": 2, "base": 0}}
        desk = Desk({"up": target("chat", slow.url, well.url, **quick)}, stream={"keepalive": 0.05})
        async with desk.gateway.running():
            status, _, body = await desk.ask("chat", stream=True)
            assert status == 200
            assert body.startswith(b": keep-alive\n\n")
            assert body.endswith(b"data: [DONE]\n\n")
    async with no_leaks(), ScriptedUpstream(Answer.silence()) as slow:
        desk = Desk({"up": target("chat", slow.url, timeouts={"first_byte": 0.8})}, stream={"keepalive": 0.05})
        async with desk.gateway.running():
            status, _, body = await desk.ask("messages", stream=True)
    assert status == 200
    assert body.count(b"event: ping") >= 2
    assert body.count(b"event: error") == 1
    assert b"timeout_error" in body


async def test_keep_alives_are_never_put_into_the_middle_of_an_event() -> None:
    release = asyncio.Event()
    whole = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    rest = chat_events(("y",))
    answer = Answer.sse([whole, whole[:30], Wait(release), whole[30:], *rest])
    async with no_leaks(), ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target("chat", upstream.url, stream_usage=False)}, stream={"keepalive": 0.05})
        async with desk.gateway.running():
            task = asyncio.ensure_future(desk.ask("chat", stream=True))
            await upstream.wait_request()
            await asyncio.sleep(0.2)
            release.set()
            _, _, body = await task
    assert body.replace(b": keep-alive\n\n", b"").startswith(whole + whole)


async def test_shutdown_lets_streams_end_and_refuses_new_requests() -> None:
    release = asyncio.Event()
    events = chat_events(("Hel", Wait(release), "lo"))
    async with no_leaks(), ScriptedUpstream(Answer.sse(events)) as upstream:
        desk = Desk({"up": target("chat", upstream.url)})
        runtime = desk.gateway.runtime()
        running = asyncio.ensure_future(desk.ask("chat", stream=True))
        await upstream.wait_request()
        await asyncio.sleep(0.02)
        closing = asyncio.ensure_future(runtime.aclose(60))
        await asyncio.sleep(0)
        status, headers, body = await desk.ask("messages")
        assert status == 529
        check_error("messages", headers, body, code="shutting_down")
        release.set()
        _, _, whole = await running
        await closing
    assert whole.endswith(b"data: [DONE]\n\n")


async def test_a_flood_of_comments_is_passed_on_and_not_kept() -> None:
    comments = [b": " + b"x" * 1000 + b"\n\n"] * 200
    answer = Answer.sse([*comments, *chat_events(("Hello!",))])
    async with no_leaks(), ScriptedUpstream(answer) as upstream:
        desk = Desk({"up": target("chat", upstream.url)})
        async with desk.gateway.running():
            status, _, body = await desk.ask("chat", stream=True)
            assert status == 200
            assert body.startswith(b"".join(comments))
            status, _, body = await desk.ask("messages", stream=True)
    assert status == 200
    assert b"Hello!" in body
