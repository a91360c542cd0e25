"""One gateway before a scripted upstream; callers of every dialect, who read what they get as one neutral answer."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.dialects.interface import Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.neutral.fold import fold
from asgi_llm.neutral.request import Text, ToolCall
from asgi_llm.neutral.response import Response
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    chat_stream,
    chat_text,
    gemini_stream,
    gemini_text,
    messages_stream,
    messages_text,
    responses_stream,
    responses_text,
)

PATHS = {
    "chat": ("/v1/chat/completions", "/v1/chat/completions"),
    "messages": ("/v1/messages", "/v1/messages"),
    "responses": ("/v1/responses", "/v1/responses"),
    "gemini": ("/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent"),
}
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
WHOLE: dict[str, Any] = {
    "chat": chat_text, "messages": messages_text, "responses": responses_text, "gemini": gemini_text,
}  # fmt: skip
STREAM: dict[str, Any] = {
    "chat": chat_stream, "messages": messages_stream, "responses": responses_stream, "gemini": gemini_stream,
}  # fmt: skip
ENDS = {"chat": b"data: [DONE]\n\n", "messages": b'data: {"type":"message_stop"}\n\n'}


class Got:
    """What a caller got: status, headers, bytes, and the answer in them."""

    def __init__(self, dialect: str, status: int, headers: dict[str, str], data: bytes) -> None:
        self.dialect, self.status, self.headers, self.data = dialect, status, headers, data

    @property
    def json(self) -> Any:
        return json.loads(self.data)

    @property
    def answer(self) -> Response:
        dialect = DIALECTS[self.dialect]  # type: ignore[index]  # one of the four
        if self.headers["content-type"].startswith("application/json"):
            return dialect.decode_response(self.data, Restore())
        assert self.data.endswith(ENDS.get(self.dialect, b"\n\n"))
        decoder = dialect.stream_decoder(Restore())
        return fold([*decoder.feed(self.data), *decoder.end()])

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.answer.candidates[0].parts if isinstance(part, Text))

    @property
    def calls(self) -> list[str]:
        return [part.arguments for part in self.answer.candidates[0].parts if isinstance(part, ToolCall)]

    @property
    def finish(self) -> str:
        return self.answer.candidates[0].finish.reason


class World:
    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream, spoken: str, settled: list[Exchange]) -> None:
        self.gateway, self.upstream, self.spoken, self.settled = gateway, upstream, spoken, settled
        self.driver = ASGIDriver(gateway.asgi)

    def says(self, *pieces: str, stream: bool = False, **options: Any) -> None:
        """The upstream's next answer."""
        if stream:
            self.upstream.push(STREAM[self.spoken](pieces, **options))
        else:
            self.upstream.push(WHOLE[self.spoken]("".join(pieces), **options))

    def push(self, answer: Answer) -> None:
        self.upstream.push(answer)

    async def ask(
        self,
        dialect: str = "chat",
        prompt: str = "hi",
        *,
        stream: bool = False,
        identity: Identity | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Got:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
        if dialect == "messages":
            body["max_tokens"] = 5
        elif dialect == "responses":
            body = {"model": "m", "input": prompt}
        elif dialect == "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
        path = PATHS[dialect][stream]
        if dialect == "gemini":
            path += "?alt=sse" if stream else ""
        elif stream:
            body["stream"] = True
        return await self.send(dialect, path, {**body, **more}, identity=identity, headers=headers)

    async def send(
        self,
        dialect: str,
        path: str,
        body: Any,
        *,
        identity: Identity | None = None,
        headers: dict[str, str] | None = None,
    ) -> Got:
        scope = {} if identity is None else {"asgi_llm.identity": identity}
        fields = {"content-type": "application/json", **(headers or {})}
        exchange = await self.driver.request("POST", path, fields, json.dumps(body).encode(), scope=scope)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
        told = {name.decode(): value.decode() for name, value in head.headers}
        return Got(dialect, head.status, told, data)

    def asked(self, number: int = -1) -> Any:
        """What the upstream was asked."""
        return self.upstream.requests[number].json


@pytest.fixture
async def world() -> Any:
    """Makes a ``World``: ``await world(spoken, hooks=[...], guards=[...])``."""
    async with AsyncExitStack() as stack:

        async def make(spoken: str = "chat", *, hooks: Any = (), targets: Any = None, **settings: Any) -> World:
            upstream = await stack.enter_async_context(ScriptedUpstream())
            base = upstream.url if spoken == "messages" else f"{upstream.url}/v1"
            target: dict[str, Any] = {"provider": PROVIDERS[spoken], "base_url": base, "api_key": "k"}
            if PROVIDERS[spoken] == "openai":
                target["dialects"] = [spoken]
            tree = {"targets": {"up": target, **(targets or {})}, "default_target": "up", "auth": {"anonymous": True}}
            settled: list[Exchange] = []
            gateway = Gateway({**tree, **settings}, hooks=hooks, on_settled=settled.append)
            await stack.enter_async_context(gateway.running())
            return World(gateway, upstream, spoken, settled)

        yield make


Make = Callable[..., Any]
