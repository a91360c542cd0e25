"""What goes wrong, as the user of an SDK sees it: the exception, its message, when to come back; time-outs; leaving."""

import asyncio
from typing import Any

import pytest

from asgi_llm.testing import Answer, Call, Reset, Stall, Wait
from asgi_llm.testing.patience import within

SECRET = "sk-provider"
ERRORS = {
    # upstream's status: status and exception for callers of Chat Completions, the same for callers of Messages
    400: ((400, "BadRequestError"), (400, "BadRequestError")),
    401: ((503, "InternalServerError"), (529, "OverloadedError")),
    404: ((404, "NotFoundError"), (404, "NotFoundError")),
    429: ((429, "RateLimitError"), (429, "RateLimitError")),
    500: ((500, "InternalServerError"), (500, "InternalServerError")),
    529: ((503, "InternalServerError"), (529, "OverloadedError")),
}


@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("how", ["whole", "helper"])
async def test_errors_of_the_provider(open_desk: Any, caller: Any, speaker: Any, how: str, status: int) -> None:
    """A provider's refusal of the gateway's own key must not look like a refusal of the caller's."""
    desk = await open_desk(speaker, [speaker.error(status, "No, not so.", {"retry-after": "7"})])
    expected, name = ERRORS[status][caller.name == "messages"]
    if status == 529 and caller.name == speaker.name:
        expected = 529  # the provider's own words, passed on as they are

    with pytest.raises(caller.sdk.APIStatusError) as caught:
        await getattr(caller, how)(await desk.client(caller), caller.ask("?"))

    error = caught.value
    assert isinstance(error, getattr(caller.sdk, name))
    assert error.status_code == expected
    assert error.response.headers["retry-after"] == "7"
    if status == 401:
        assert "No, not so." not in str(error)
        assert "credentials" in str(error)
    else:
        assert "No, not so." in str(error)
    assert error.body["error"]["message"] if caller.name == "messages" else error.body["message"]
    assert SECRET not in str(error)
    assert "127.0.0.1" not in str(error)
    exchange = await desk.ended()
    assert (exchange.outcome, exchange.status) == ("upstream_error", expected)


async def test_a_prompt_that_is_too_long(open_desk: Any, caller: Any, speaker: Any) -> None:
    """Clients find this out by the code (Chat Completions) or the message's beginning (Messages)."""
    told = {"chat": "This model's maximum context length is 8 tokens.", "messages": "prompt is too long: 9 tokens > 8"}
    desk = await open_desk(speaker, [speaker.error(400, told[speaker.name], {})])
    with pytest.raises(caller.sdk.BadRequestError) as caught:
        await caller.whole(await desk.client(caller), caller.ask("?"))
    if caller.name != speaker.name:
        if caller.name == "chat":
            assert caught.value.code == "context_length_exceeded"
        else:
            assert caught.value.body["error"]["message"].startswith("prompt is too long")


async def test_a_wrong_key(open_gateway: Any, caller: Any) -> None:
    keys = [{"key": "sk-right", "subject": "tests"}]
    desk = await open_gateway({"targets": {"main": {"provider": "echo"}}, "auth": {"keys": keys}})
    assert (await caller.whole(await desk.client(caller, key="sk-right"), caller.ask("hi"))).text == "hi"
    with pytest.raises(caller.sdk.AuthenticationError) as caught:
        await caller.whole(await desk.client(caller, key="sk-wrong"), caller.ask("hi"))
    assert caught.value.status_code == 401
    assert "sk-wrong" not in str(caught.value)


async def test_a_model_that_is_not_permitted(open_desk: Any, caller: Any, speaker: Any) -> None:
    desk = await open_desk(speaker, allow=["gpt-*"])
    with pytest.raises(caller.sdk.PermissionDeniedError) as caught:
        await caller.whole(await desk.client(caller), caller.ask("?"))
    assert caught.value.status_code == 403
    assert not desk.upstream.requests


async def test_content_that_the_provider_cannot_take(open_desk: Any, chat_caller: Any, speakers: Any) -> None:
    """Refused before anything is sent, naming the place; never left out."""
    desk = await open_desk(speakers["messages"])
    audio = [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]
    asked = {"model": "m", "messages": [{"role": "user", "content": audio}]}
    with pytest.raises(chat_caller.sdk.BadRequestError) as caught:
        await chat_caller.whole(await desk.client(chat_caller), asked)
    assert caught.value.param is not None
    assert "audio" in caught.value.message.lower()


async def test_the_sdk_tries_again_by_itself(open_desk: Any, caller: Any, speakers: Any) -> None:
    speaker = speakers["chat"]
    desk = await open_desk(speaker, [speaker.error(429, "Slow down.", {}), speaker.answer(False)])
    client = await desk.client(caller, max_retries=1)
    assert (await within(caller.whole(client, caller.ask("?")), 60, "the second try")).text == "Hello!"


@pytest.mark.parametrize("end", [Reset(), b"0\r\n\r\n"], ids=["reset", "too short"])
async def test_a_stream_that_breaks_off(open_desk: Any, caller: Any, speaker: Any, end: Any) -> None:
    """What was said is there, and then an error: it does not look like a whole answer."""
    desk = await open_desk(speaker, [Answer.raw([*_up_to(b"Hel", speaker.answer(True)), end])])
    stream = await caller.open(await desk.client(caller), caller.ask("?"))
    seen: list[str] = []

    async def read() -> None:
        async for event in stream:
            seen.append(str(event))  # noqa: PERF401  what came before the error counts

    with pytest.raises(caller.sdk.APIError):
        await read()
    assert "Hel" in "".join(seen)
    assert (await desk.ended()).outcome == "interrupted"


def _up_to(words: bytes, answer: Answer, more: int = 0) -> list[Any]:
    """The steps of the answer up to the one that says the words, and so many more."""
    last = next(index for index, step in enumerate(answer.steps) if isinstance(step, bytes) and words in step)
    return list(answer.steps[: last + 1 + more])


@pytest.mark.parametrize("how", ["whole", "helper"])
async def test_the_sdk_s_own_time_out(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    desk = await open_desk(speaker, [Answer.silence()])
    with pytest.raises(caller.sdk.APITimeoutError):
        await getattr(caller, how)(await desk.client(caller, timeout=0.3), caller.ask("?"))
    await (await desk.upstream.wait_request()).wait_disconnected()
    assert (await desk.ended()).outcome == "disconnected"


@pytest.mark.parametrize("how", ["whole", "helper"])
async def test_the_gateway_s_time_out(open_desk: Any, caller: Any, speaker: Any, how: str) -> None:
    desk = await open_desk(speaker, [Answer.silence()], timeouts={"first_byte": 0.1, "answer": 0.1})
    with pytest.raises(caller.sdk.APIStatusError) as caught:
        await getattr(caller, how)(await desk.client(caller), caller.ask("?"))
    assert caught.value.status_code == 504
    await (await desk.upstream.wait_request()).wait_disconnected()
    exchange = await desk.ended()
    assert (exchange.outcome, exchange.status) == ("upstream_error", 504)


@pytest.mark.parametrize("moment", ["text", "arguments"])
@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_a_stream_early(
    open_desk: Any, kit: Any, caller: Any, speaker: Any, moment: str, leave: str
) -> None:
    """The provider is told to stop, and the exchange is settled once."""
    words = {"text": b"Hel", "arguments": b"add"}[moment]
    answer = speaker.answer(True, calls=[Call("add", '{"a":1}')])
    desk = await open_desk(speaker, [Answer.raw([*_up_to(words, answer, more=moment == "arguments"), Stall()])])
    stream = await caller.open(await desk.client(caller), caller.ask("?", tools=kit.tools))
    begun = asyncio.Event()

    async def read() -> None:
        async for event in stream:
            if words.decode() in str(event):
                begun.set()

    reading = asyncio.create_task(read())
    await within(begun.wait(), 60, "the beginning of the stream")
    if leave == "cancel":
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await stream.close()
    else:
        await stream.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    await (await desk.upstream.wait_request()).wait_disconnected()
    assert (await desk.ended()).outcome == "disconnected"
    assert desk.settled.empty()


async def test_leaving_before_the_answer(open_desk: Any, caller: Any, speaker: Any) -> None:
    desk = await open_desk(speaker, [Answer.silence()])
    client = await desk.client(caller)
    asking = asyncio.create_task(caller.whole(client, caller.ask("?")))
    request = await desk.upstream.wait_request()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await request.wait_disconnected()
    assert (await desk.ended()).outcome == "disconnected"
    assert desk.settled.empty()


async def test_words_arrive_as_they_are_said(open_desk: Any, caller: Any, speaker: Any) -> None:
    gate = asyncio.Event()
    desk = await open_desk(speaker, [speaker.answer(True, ["Hel", Wait(gate), "lo!"])])
    stream = await caller.open(await desk.client(caller), caller.ask("?"))
    async for event in stream:
        if "Hel" in str(event):
            break
    assert not desk.upstream.requests[0].answered.is_set()
    gate.set()
    rest = "".join([str(event) async for event in stream])
    assert "lo!" in rest
    assert (await desk.ended()).outcome == "ok"
