"""Chat Completions: ``openai`` on the caller's end, a provider on the other."""

from collections.abc import Sequence
from typing import Any, ClassVar

import httpx2
import openai
from ends.said import Failed, Picture, Result, Said, Turn

from asgi_llm.testing import Answer, Call, Tokens, chat_completion, chat_error, chat_events

__all__ = ["ChatCaller", "ChatSpeaker"]


class ChatCaller:
    """``openai``, Chat Completions."""

    name = "chat"
    sdk = openai
    failures: ClassVar = (openai.APIError,)
    time_out = "APITimeoutError"
    finishes: ClassVar = {"end": "stop", "tools": "tool_calls"}

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

    def formatted(self, schema: dict[str, Any]) -> dict[str, Any]:
        wanted = {"name": "answer", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": wanted}}

    def _messages(self, turn: Turn) -> list[Any]:
        if isinstance(turn, Said):
            return [turn.message]
        if isinstance(turn, str):
            return [{"role": "user", "content": turn}]
        results = [part for part in turn if isinstance(part, Result)]
        parts = [self._part(part) for part in turn if not isinstance(part, Result)]
        said: list[Any] = [
            {"role": "tool", "tool_call_id": one.id, "content": self._content(one.parts)} for one in results
        ]
        return [*said, {"role": "user", "content": parts}] if parts else said

    def _content(self, parts: Sequence[str | Picture]) -> str | list[dict[str, Any]]:
        """Text as a string; pictures among it as clients of the servers send it that take them there."""
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts) if len(texts) == len(parts) else [self._part(part) for part in parts]

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
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                    **(told.model_extra or {}),
                }
                for call, told in zip(calls, message.tool_calls, strict=True)
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

    def failed(self, error: Any) -> Failed:
        return Failed(type(error).__name__, error.status_code, error.message, error.response.headers.get("retry-after"))

    async def models(self, client: openai.AsyncOpenAI) -> list[str]:
        return [model.id async for model in client.models.list()]

    async def model(self, client: openai.AsyncOpenAI, name: str) -> str:
        return (await client.models.retrieve(name)).id


class ChatSpeaker:
    """A provider of Chat Completions."""

    name = "chat"
    history = "messages"
    signature = ""
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

    def listing(self, *names: str) -> Answer:
        return Answer.json(
            {"object": "list", "data": [{"id": name, "object": "model", "created": 1} for name in names]}
        )

    def schema(self, body: dict[str, Any]) -> Any:
        return body["response_format"]["json_schema"]["schema"]

    def tools(self, body: dict[str, Any]) -> list[str]:
        return [tool["function"]["name"] for tool in body["tools"]]

    def proofs(self, body: dict[str, Any]) -> list[str]:
        """Thoughts are not signed here."""
        return []

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
