"""The official SDKs on one end, a scripted provider on the other, the gateway in a served application between them.

Both ends are table entries: a ``Caller`` says with its SDK what a test wants said and reads the answer through it; a
``Speaker`` writes the provider's answers and reads what the provider was asked. What they hand to tests is the same
for every dialect, so that one test body serves every pair.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest
import uvicorn

from asgi_llm import Exchange, Gateway, LLMMiddleware
from asgi_llm.testing import (
    Answer,
    Call,
    ScriptedUpstream,
    Tokens,
    chat_completion,
    chat_error,
    chat_events,
    messages_error,
    messages_events,
    messages_message,
    responses_error,
    responses_events,
    responses_response,
)
from asgi_llm.testing.patience import within

_NO_TLS = ssl.create_default_context()
"""Nothing here is encrypted; a context made once saves each client from reading the system's authorities."""


@dataclass(frozen=True)
class Picture:
    """``data`` is base64 of a PNG; without it the picture is at ``url``."""

    data: str = ""
    url: str = ""


@dataclass(frozen=True)
class Result:
    """What the caller's tool answered to the call ``id``."""

    id: str
    parts: Sequence[str | Picture]
    error: bool = False


@dataclass
class Said:
    """An answer as the user of an SDK reads it. ``message`` is what the user sends back in the next turn."""

    text: str = ""
    thoughts: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    usage: Tokens | None = None
    message: Any = None
    model: str = ""


Turn = str | Sequence[str | Picture | Result] | Said
"""The user's text or parts, the results of tools, or an answer sent back."""

ADD = {
    "name": "add",
    "description": "Adds two numbers.",
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class ChatCaller:
    """``openai``, Chat Completions."""

    name = "chat"
    sdk = openai
    path = "/v1/chat/completions"

    def client(self, url: str, http: httpx2.AsyncClient, key: str, options: dict[str, Any]) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, **options)

    def ask(self, *turns: Turn, system: str = "", tools: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        for turn in turns:
            messages += self._messages(turn)
        asked: dict[str, Any] = {"model": "m", "messages": messages, **more}
        if tools:
            asked["tools"] = [self._tool(tool) for tool in tools]
        return asked

    def _messages(self, turn: Turn) -> list[Any]:
        if isinstance(turn, Said):
            return [turn.message]
        if isinstance(turn, str):
            return [{"role": "user", "content": turn}]
        results = [part for part in turn if isinstance(part, Result)]
        parts = [self._part(part) for part in turn if not isinstance(part, Result)]
        said: list[Any] = [{"role": "tool", "tool_call_id": one.id, "content": "".join(one.parts)} for one in results]  # type: ignore[arg-type]
        return [*said, {"role": "user", "content": parts}] if parts else said

    def _part(self, part: str | Picture) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        return {"type": "image_url", "image_url": {"url": part.url or f"data:image/png;base64,{part.data}"}}

    def _tool(self, tool: dict[str, Any]) -> dict[str, Any]:
        # The SDK's stream helper takes strict functions only.
        function = {"name": tool["name"], "description": tool["description"], "parameters": tool["schema"]}
        return {"type": "function", "function": {**function, "strict": True}}

    async def whole(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        return self._said(await client.chat.completions.create(**asked))

    async def helper(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        asked = {**asked, "stream_options": {"include_usage": True}}
        async with client.chat.completions.stream(**asked) as stream:
            async for _ in stream:
                pass
            return self._said(await stream.get_final_completion())

    async def open(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Any:
        return await client.chat.completions.create(**asked, stream=True)

    async def plain(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        said = Said()
        roles: list[str] = []
        calls: list[dict[str, str]] = []
        async for chunk in await self.open(client, {**asked, "stream_options": {"include_usage": True}}):
            said.model = chunk.model
            if chunk.usage is not None:
                assert said.usage is None, "usage was told twice"
                said.usage = self._tokens(chunk.usage)
            for choice in chunk.choices:
                assert said.finish is None, "something came after the finish reason"
                said.finish = choice.finish_reason
                delta = choice.delta
                roles += [delta.role] if delta.role else []
                said.text += delta.content or ""
                said.thoughts += (delta.model_extra or {}).get("reasoning_content") or ""
                for piece in delta.tool_calls or ():
                    if piece.index == len(calls):
                        calls.append({"id": piece.id, "name": piece.function.name, "arguments": ""})
                    else:
                        assert (piece.index, piece.id, piece.function.name) == (len(calls) - 1, None, None)
                    calls[piece.index]["arguments"] += piece.function.arguments
        assert roles == ["assistant"]
        said.calls = [Call(**call) for call in calls]
        return said

    def _said(self, completion: Any) -> Said:
        (choice,) = completion.choices
        message = choice.message
        extra = message.model_extra or {}
        calls = [Call(call.function.name, call.function.arguments, call.id) for call in message.tool_calls or ()]
        usage = self._tokens(completion.usage) if completion.usage is not None else None
        # The helper's own additions (`parsed`) are not for the wire.
        replay = {
            "role": "assistant",
            "content": message.content,
            **{name: extra[name] for name in ("reasoning_content", "reasoning_details") if extra.get(name)},
        }
        if calls:
            replay["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        thoughts = extra.get("reasoning_content") or ""
        return Said(message.content or "", thoughts, calls, choice.finish_reason, usage, replay, completion.model)

    def _tokens(self, usage: Any) -> Tokens:
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        read = usage.prompt_tokens_details
        spent = usage.completion_tokens_details
        return Tokens(
            input=usage.prompt_tokens,
            output=usage.completion_tokens,
            cached=(read and read.cached_tokens) or 0,
            written=(read and read.cache_write_tokens) or 0,
            reasoning=(spent and spent.reasoning_tokens) or 0,
        )


class MessagesCaller:
    """``anthropic``, Messages."""

    name = "messages"
    sdk = anthropic
    path = "/v1/messages"

    def client(self, url: str, http: httpx2.AsyncClient, key: str, options: dict[str, Any]) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=url, api_key=key, http_client=http, **options)

    def ask(self, *turns: Turn, system: str = "", tools: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {"model": "m", "max_tokens": 1000, "messages": [self._message(turn) for turn in turns]}
        if system:
            asked["system"] = system
        if tools:
            asked["tools"] = [
                {"name": tool["name"], "description": tool["description"], "input_schema": tool["schema"]}
                for tool in tools
            ]
        return asked | more

    def _message(self, turn: Turn) -> dict[str, Any]:
        if isinstance(turn, Said):
            return turn.message  # type: ignore[no-any-return]
        return {"role": "user", "content": turn if isinstance(turn, str) else [self._part(part) for part in turn]}

    def _part(self, part: str | Picture | Result) -> dict[str, Any]:
        match part:
            case str():
                return {"type": "text", "text": part}
            case Picture(url=url) if url:
                return {"type": "image", "source": {"type": "url", "url": url}}
            case Picture(data=data):
                return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
            case Result():
                content = [self._part(inner) for inner in part.parts]
                result = {"type": "tool_result", "tool_use_id": part.id, "content": content}
                return {**result, "is_error": True} if part.error else result

    async def whole(self, client: anthropic.AsyncAnthropic, asked: dict[str, Any]) -> Said:
        return self._said(await client.messages.create(**asked))

    async def helper(self, client: anthropic.AsyncAnthropic, asked: dict[str, Any]) -> Said:
        async with client.messages.stream(**asked) as stream:
            async for _ in stream:
                pass
            return self._said(await stream.get_final_message())

    async def open(self, client: anthropic.AsyncAnthropic, asked: dict[str, Any]) -> Any:
        return await client.messages.create(**asked, stream=True)

    async def plain(self, client: anthropic.AsyncAnthropic, asked: dict[str, Any]) -> Said:
        said, seen = Said(), []
        blocks: list[Any] = []
        begun: Any = None
        async for event in await self.open(client, asked):
            seen.append(event.type)
            match event.type:
                case "message_start":
                    begun, said.model = event.message.usage, event.message.model
                case "content_block_start":
                    assert event.index == len(blocks)
                    blocks.append([event.content_block, ""])
                case "content_block_delta":
                    assert event.index == len(blocks) - 1
                    match event.delta.type:
                        case "text_delta":
                            said.text += event.delta.text
                        case "thinking_delta":
                            said.thoughts += event.delta.thinking
                        case "input_json_delta":
                            blocks[-1][1] += event.delta.partial_json
                case "message_delta":
                    said.finish = event.delta.stop_reason
                    said.usage = self._tokens(event.usage, begun)
        assert (seen[0], seen[-2:]) == ("message_start", ["message_delta", "message_stop"])
        assert seen.count("content_block_start") == seen.count("content_block_stop")
        tools = [(block, text or "{}") for block, text in blocks if block.type == "tool_use"]
        said.calls = [Call(block.name, _compact(json.loads(text)), block.id) for block, text in tools]
        return said

    def _said(self, message: Any) -> Said:
        blocks = message.content
        return Said(
            "".join(block.text for block in blocks if block.type == "text"),
            "".join(block.thinking for block in blocks if block.type == "thinking"),
            [Call(block.name, _compact(block.input), block.id) for block in blocks if block.type == "tool_use"],
            message.stop_reason,
            self._tokens(message.usage, message.usage),
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in blocks]},
            message.model,
        )

    def _tokens(self, usage: Any, begun: Any) -> Tokens:
        """Figures that the end does not restate stand as the beginning told them."""

        def told(name: str) -> int:
            value = getattr(usage, name, None)
            return int((getattr(begun, name, None) if value is None else value) or 0)

        cached, written = told("cache_read_input_tokens"), told("cache_creation_input_tokens")
        details = getattr(usage, "output_tokens_details", None)
        return Tokens(
            input=told("input_tokens") + cached + written,
            output=usage.output_tokens,
            cached=cached,
            written=written,
            reasoning=(details and details.thinking_tokens) or 0,
        )


class ChatSpeaker:
    """A provider of Chat Completions."""

    name = "chat"
    settings: ClassVar[dict[str, Any]] = {"provider": "openai_compatible", "dialects": ["chat"]}
    finishes: ClassVar = {
        "end": "stop",
        "max_tokens": "length",
        "stop_sequence": "stop",
        "refusal": "content_filter",
    }

    def answer(self, stream: bool, pieces: Sequence[Any] = ("Hel", "lo!"), **options: Any) -> Answer:
        split = options.pop("split", 0)
        if "finish" in options:
            options["finish"] = self.finishes[options["finish"]]
        if stream:
            return Answer.sse(chat_events(pieces, **options), split=split)
        return Answer.json(chat_completion("".join(pieces), **options), split=split)

    def error(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        return chat_error(status, message, headers=headers)

    def heard(self, body: dict[str, Any]) -> list[Any]:
        heard: list[Any] = []
        for message in body["messages"]:
            match message["role"]:
                case "tool":
                    heard.append(("result", message["tool_call_id"], message["content"]))
                case "assistant":
                    called = [call["function"] | {"id": call["id"]} for call in message.get("tool_calls", ())]
                    heard.append(("assistant", message.get("content") or "", [Call(**call) for call in called]))
                case role:
                    heard.append((role, self._parts(message["content"])))
        return heard

    def _parts(self, content: Any) -> list[Any]:
        if isinstance(content, str):
            return [content]
        return [part["text"] if part["type"] == "text" else part["image_url"]["url"] for part in content]


class MessagesSpeaker:
    """A provider of Messages."""

    name = "messages"
    settings: ClassVar[dict[str, Any]] = {"provider": "anthropic", "dialects": ["messages"]}
    finishes: ClassVar = {
        "end": "end_turn",
        "max_tokens": "max_tokens",
        "stop_sequence": "stop_sequence",
        "refusal": "refusal",
    }

    def answer(self, stream: bool, pieces: Sequence[Any] = ("Hel", "lo!"), **options: Any) -> Answer:
        split = options.pop("split", 0)
        stop_sequence = "END" if options.get("finish") == "stop_sequence" else None
        if "finish" in options:
            options["finish"] = self.finishes[options["finish"]]
        tokens = options.get("tokens") or Tokens()
        details = {"thinking_tokens": tokens.reasoning}
        if not stream:
            message = messages_message("".join(pieces), **options) | {"stop_sequence": stop_sequence}
            message["usage"]["output_tokens_details"] = details
            return Answer.json(message, split=split)
        events = messages_events(pieces, **options)
        for event in events:
            if isinstance(event, dict) and event["type"] == "message_delta":
                event["delta"]["stop_sequence"] = stop_sequence
                event["usage"]["output_tokens_details"] = details
        return Answer.sse(events, split=split)

    def error(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error"}
        kinds |= {429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}
        return messages_error(status, message, kind=kinds[status], headers=headers)

    def heard(self, body: dict[str, Any]) -> list[Any]:
        system = body.get("system", "")
        texts = [system] if isinstance(system, str) else [block["text"] for block in system]
        heard: list[Any] = [("system", texts)] if system else []
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if message["role"] == "assistant":
                heard.append(self._assistant(blocks))
                continue
            results = [block for block in blocks if block["type"] == "tool_result"]
            heard += [("result", one["tool_use_id"], self._result(one.get("content", ""))) for one in results]
            if rest := [self._part(block) for block in blocks if block["type"] != "tool_result"]:
                heard.append(("user", rest))
        return heard

    def _assistant(self, blocks: list[dict[str, Any]]) -> Any:
        uses = [block for block in blocks if block["type"] == "tool_use"]
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        return "assistant", text, [Call(use["name"], _compact(use["input"]), use["id"]) for use in uses]

    def _result(self, content: Any) -> Any:
        if isinstance(content, str):
            return content
        parts = [self._part(block) for block in content]
        return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts

    def _part(self, block: dict[str, Any]) -> Any:
        if block["type"] == "text":
            return block["text"]
        source = block["source"]
        return source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"


class ResponsesSpeaker:
    """A provider of Responses."""

    name = "responses"
    settings: ClassVar[dict[str, Any]] = {"provider": "openai", "dialects": ["responses"]}

    def answer(self, stream: bool, pieces: Sequence[Any] = ("Hel", "lo!"), **options: Any) -> Answer:
        split = options.pop("split", 0)
        if stream:
            return Answer.sse(responses_events(pieces, **options), split=split)
        return Answer.json(responses_response("".join(pieces), **options), split=split)

    def error(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        return responses_error(status, message, headers=headers)


class Server(uvicorn.Server):
    """uvicorn in the test's own loop, told to stop by an event instead of looking at a flag every tenth of a second."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=1))
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Without uvicorn's tenth of a second for the clients: here they have closed their connections already."""
        for server in self.servers:
            server.close()
        async with asyncio.timeout(5):
            while self.server_state.connections:
                await asyncio.sleep(0)
        await self.lifespan.shutdown()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The app on a free port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(app)
        # Not serve(): that would take over the signals of the test run.
        task = asyncio.create_task(server._serve([listener]))
        await within(server.ready.wait(), 5, "the server's start")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop.set()
            await within(task, 5, "the server's end")


async def site(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the application around the gateway where no framework is used."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"no such page"})


def _fastapi(gateway: Gateway) -> Any:
    fastapi = pytest.importorskip("fastapi")
    from asgi_llm_fastapi import llm_router

    app = fastapi.FastAPI()
    app.include_router(llm_router(gateway), prefix="/llm")
    return app


HOSTS: dict[str, tuple[Callable[[Gateway], Any], str]] = {
    "fastapi": (_fastapi, "/llm"),
    "middleware": (lambda gateway: LLMMiddleware(site, gateway, prefix="/llm"), "/llm"),
    "bare": (lambda gateway: gateway.asgi, ""),
}
_USUAL = "fastapi" if find_spec("fastapi") else "middleware"
"""What hosts the gateway where a test does not say: FastAPI as its users mount it, where it is installed."""


@dataclass
class Desk:
    """A served gateway. ``url`` is where it answers; ``settled`` hands out its exchanges as they end."""

    url: str
    upstream: ScriptedUpstream
    settled: asyncio.Queue[Exchange]
    stack: AsyncExitStack

    async def client(self, caller: Any, key: str = "sk-caller", **options: Any) -> Any:
        """An SDK's client of the gateway, that does not retry unless told to."""
        http = await self.stack.enter_async_context(httpx2.AsyncClient(verify=_NO_TLS, trust_env=False))
        return caller.client(self.url, http, key, {"max_retries": 0, **options})

    async def ended(self) -> Exchange:
        """The next exchange that ends."""
        return await within(self.settled.get(), 5, "the settlement of an exchange")


@pytest.fixture
async def open_desk() -> AsyncIterator[Any]:
    """``await open_desk(speaker, script, ...)`` serves a gateway in front of a scripted upstream."""
    async with AsyncExitStack() as stack:

        async def open_desk(speaker: Any, script: Any = (), host: str = _USUAL, **more: Any) -> Desk:
            upstream = await stack.enter_async_context(ScriptedUpstream(script))
            target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **speaker.settings, **more}
            return await _open(stack, {"targets": {"main": target}, "auth": {"anonymous": True}}, upstream, host)

        yield open_desk


@pytest.fixture
async def open_gateway() -> AsyncIterator[Any]:
    """``await open_gateway(settings)`` serves a gateway with these settings, till the test ends."""
    async with AsyncExitStack() as stack:

        async def open_gateway(settings: dict[str, Any], host: str = _USUAL) -> Desk:
            return await _open(stack, settings, ScriptedUpstream(), host)

        yield open_gateway


async def _open(stack: AsyncExitStack, settings: dict[str, Any], upstream: ScriptedUpstream, host: str) -> Desk:
    settled: asyncio.Queue[Exchange] = asyncio.Queue()
    build, prefix = HOSTS[host]
    app = build(Gateway(settings, on_settled=settled.put_nowait))
    url = await stack.enter_async_context(served(app))
    # Clients are closed before the server that they talk to.
    return Desk(url + prefix, upstream, settled, stack)


@pytest.fixture(params=[ChatCaller(), MessagesCaller()], ids=["openai", "anthropic"])
def caller(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=[ChatSpeaker(), MessagesSpeaker()], ids=["chat", "messages"])
def speaker(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def chat_caller() -> ChatCaller:
    return ChatCaller()


@pytest.fixture
def messages_caller() -> MessagesCaller:
    return MessagesCaller()


@pytest.fixture
def speakers() -> dict[str, Any]:
    return {"chat": ChatSpeaker(), "messages": MessagesSpeaker(), "responses": ResponsesSpeaker()}


@pytest.fixture(params=["whole", "plain", "helper"])
def how(request: pytest.FixtureRequest) -> str:
    """How the answer is read: whole, iterating over a stream, or by the SDK's stream helper."""
    return str(request.param)


@pytest.fixture
def kit() -> Any:
    """The words that tests share."""

    class Kit:
        picture = Picture
        result = Result
        tools = (ADD, WEATHER)

    return Kit
