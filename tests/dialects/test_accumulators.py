"""Translated streams, read by the official SDKs: by plain iteration and by the helpers that put an answer together.

Every streamed answer of the golden files goes through the translation and into the SDK of the caller's dialect. What
the SDK makes of it must be what the upstream said; a stream that broke off must not look whole.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Restore
from asgi_llm.dialects.registry import DIALECTS as REGISTERED
from asgi_llm.neutral.events import Event, Failure
from asgi_llm.neutral.fold import fold
from asgi_llm.neutral.request import DialectName, Refusal, Text, ToolCall

DIALECTS: dict[DialectName, Dialect] = {**REGISTERED, "gemini": GEMINI}
CASES = Path(__file__).parent / "cases"
BROKEN = ("midway", "cut-off")


@dataclass
class Read:
    """What an SDK was told. ``whole`` says that the end it was told is one of success."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    output: int | None = None
    whole: bool = True


class Wire:
    """Stands for the network between an SDK and the gateway: answers each request with the same stream."""

    def __init__(self) -> None:
        self.data = b""

    async def pieces(self) -> AsyncIterator[bytes]:
        for event in self.data.split(b"\n\n"):
            if event:
                yield event + b"\n\n"

    def client(self, http: Any) -> Any:
        def handle(request: Any) -> Any:
            return http.Response(200, headers={"content-type": "text/event-stream"}, content=self.pieces())

        return http.AsyncClient(transport=http.MockTransport(handle))


# One client of each SDK for all tests: they are dear to make.
WIRE = Wire()


@cache
def _openai() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="k", base_url="http://x/v1", http_client=WIRE.client(httpx2), max_retries=0)


@cache
def _anthropic() -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="k", base_url="http://x", http_client=WIRE.client(httpx2), max_retries=0)


@cache
def _genai() -> genai.Client:
    options = types.HttpOptions(base_url="http://x", httpx_async_client=WIRE.client(httpx))
    return genai.Client(api_key="k", http_options=options)


CHAT: dict[str, Any] = {"model": "m", "messages": [], "stream_options": {"include_usage": True}}


async def chat_plain() -> Read:
    read = Read(whole=False)
    calls: dict[int, list[str]] = {}
    async for chunk in await _openai().chat.completions.create(**CHAT, stream=True):
        if chunk.usage is not None:
            read.output = chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.index:
                continue
            read.text += choice.delta.content or ""
            read.whole = read.whole or choice.finish_reason is not None
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index, ["", ""])
                told: Any = piece.function or getattr(piece, "custom", None)
                if told is not None:
                    arguments = told["input"] if isinstance(told, dict) else told.arguments
                    name = told.get("name") if isinstance(told, dict) else told.name
                    call[0] += name or ""
                    call[1] += arguments or ""
    read.calls = [(name, _value(arguments)) for name, arguments in calls.values()]
    return read


async def chat_helper() -> Read:
    async with _openai().chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            pass
        snapshot = stream.current_completion_snapshot
    choice = snapshot.choices[0]
    calls = [(call.function.name, _value(call.function.arguments)) for call in choice.message.tool_calls or ()]
    output = None if snapshot.usage is None else snapshot.usage.completion_tokens
    return Read(choice.message.content or "", calls, output, bool(choice.finish_reason))


def _responses(response: Any) -> Read:
    calls = [(item.name, _value(item.arguments)) for item in response.output if item.type == "function_call"]
    output = None if response.usage is None else response.usage.output_tokens
    return Read(response.output_text, calls, output, response.status != "failed")


async def responses_plain() -> Read:
    said, last = "", None
    async for event in await _openai().responses.create(model="m", input="hi", stream=True):
        said += event.delta if event.type == "response.output_text.delta" else ""
        last = event
    assert last is not None
    read = _responses(last.response)  # type: ignore[union-attr]  # the last event of this API carries the response
    assert said == read.text or not read.whole
    return read


async def responses_helper() -> Read:
    async with _openai().responses.stream(model="m", input="hi") as stream:
        ends = [event async for event in stream]
        if ends[-1].type == "response.completed":
            return _responses(await stream.get_final_response())
        return _responses(ends[-1].response)  # type: ignore[union-attr]  # so do the ends that are no completion


MESSAGES: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


async def messages_plain() -> Read:
    read = Read(whole=False)
    calls: dict[int, list[str]] = {}
    async for event in await _anthropic().messages.create(**MESSAGES, stream=True):
        match event.type:
            case "content_block_start" if event.content_block.type == "tool_use":
                calls[event.index] = [event.content_block.name, ""]
            case "content_block_delta" if event.delta.type == "text_delta":
                read.text += event.delta.text
            case "content_block_delta" if event.delta.type == "input_json_delta" and event.index in calls:
                calls[event.index][1] += event.delta.partial_json
            case "message_delta":
                read.output = event.usage.output_tokens
            case "message_stop":
                read.whole = True
    read.calls = [(name, _value(arguments)) for name, arguments in calls.values()]
    return read


async def messages_helper() -> Read:
    async with _anthropic().messages.stream(**MESSAGES) as stream:
        message = await stream.get_final_message()
    text = "".join(block.text for block in message.content if block.type == "text")
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    return Read(text, calls, message.usage.output_tokens, message.stop_reason is not None)


async def gemini_plain() -> Read:
    read = Read(whole=False)
    async for piece in await _genai().aio.models.generate_content_stream(model="m", contents="hi"):
        if (usage := piece.usage_metadata) is not None:
            read.output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        for candidate in piece.candidates or ():
            if candidate.index:
                continue
            read.whole = read.whole or candidate.finish_reason is not None
            for part in (candidate.content.parts if candidate.content else None) or ():
                read.text += "" if part.thought else part.text or ""
                if part.function_call is not None:
                    read.calls.append((part.function_call.name or "", part.function_call.args))
    return read


READERS: dict[DialectName, list[Callable[[], Any]]] = {
    "chat": [chat_plain, chat_helper],
    "responses": [responses_plain, responses_helper],
    "messages": [messages_plain, messages_helper],
    "gemini": [gemini_plain],
}
RAISED = (openai.APIError, anthropic.APIError, errors.APIError)


def _value(arguments: str) -> Any:
    return json.loads(arguments or "{}") if not arguments or arguments[0] == "{" else arguments


def _events(upstream: DialectName, data: bytes) -> list[Event]:
    decoder = DIALECTS[upstream].stream_decoder(Restore())
    return [*decoder.feed(data), *decoder.end()]


def _written(caller: DialectName, events: list[Event]) -> bytes:
    numbers = count(1)
    answer = Answer(model="m", include_usage=True, mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1.7e9)
    encoder = DIALECTS[caller].stream_encoder(answer)
    return b"".join(encoder.feed([event]) for event in events)


def _expected(caller: DialectName, events: list[Event]) -> Read:
    response = fold(events)
    parts = response.candidates[0].parts
    said = Text | Refusal if caller in ("messages", "gemini") else Text  # the others say a refusal apart
    calls = [(part.name, _value(part.arguments)) for part in parts if isinstance(part, ToolCall)]
    output = None if response.usage is None else response.usage.output
    return Read("".join(part.text for part in parts if isinstance(part, said)), calls, output)


PAIRS = [(caller, upstream) for caller in DIALECTS for upstream in DIALECTS if caller != upstream]
READS = [
    pytest.param(caller, upstream, reader, id=f"{caller}-{upstream}-{reader.__name__.partition('_')[2]}")
    for caller, upstream in PAIRS
    for reader in READERS[caller]
]


def _streams(caller: DialectName, upstream: DialectName, *, broken: bool) -> list[Path]:
    found = sorted(CASES.glob(f"{caller}-{upstream}/*/answer.sse"))
    found = [path for path in found if not path.parent.name.endswith("broken-arguments")]
    return [path for path in found if path.parent.name.endswith(BROKEN) is broken]


@pytest.mark.parametrize(("caller", "upstream", "reader"), READS)
async def test_the_sdk_reads_what_the_upstream_said(caller: DialectName, upstream: DialectName, reader: Any) -> None:
    streams = _streams(caller, upstream, broken=False)
    assert len(streams) >= 2
    for path in streams:
        events = _events(upstream, path.read_bytes())
        WIRE.data = _written(caller, events)
        read, expected = await reader(), _expected(caller, events)
        if caller != "chat" or "custom" not in path.parent.name:
            assert read.calls == expected.calls, path
        assert (read.text, read.whole) == (expected.text, True), path
        assert read.output == expected.output or "candidates" in path.parent.name, path


@pytest.mark.parametrize(("caller", "upstream", "reader"), READS)
async def test_the_sdk_takes_no_broken_stream_for_a_whole_one(
    caller: DialectName, upstream: DialectName, reader: Any
) -> None:
    """Whatever of an answer came before it broke off."""
    broke_off = _events(upstream, b"")[-1]
    assert isinstance(broke_off, Failure)
    broken = [_events(upstream, path.read_bytes()) for path in _streams(caller, upstream, broken=True)]
    for path in _streams(caller, upstream, broken=False):
        events = _events(upstream, path.read_bytes())
        broken.append([*events[: len(events) // 2], broke_off])
    for events in broken:
        WIRE.data = _written(caller, events)
        try:
            read = await reader()
        except RAISED:
            continue
        assert not read.whole, WIRE.data
