"""Messages: ``anthropic`` on the caller's end, a provider on the other."""

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import anthropic
import httpx2
from ends.said import Failed, Picture, Result, Said, Turn, compact

from asgi_llm.testing import Answer, Call, Tokens, messages_error, messages_events, messages_message

__all__ = ["MessagesCaller", "MessagesSpeaker"]


class MessagesCaller:
    """``anthropic``, Messages."""

    name = "messages"
    sdk = anthropic
    failures: ClassVar = (anthropic.APIError,)
    time_out = "APITimeoutError"
    finishes: ClassVar = {"end": "end_turn", "tools": "tool_use"}

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

    def formatted(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}

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
        said.calls = [Call(block.name, compact(json.loads(text)), block.id) for block, text in tools]
        return said

    def _said(self, message: Any) -> Said:
        blocks = message.content
        return Said(
            "".join(block.text for block in blocks if block.type == "text"),
            "".join(block.thinking for block in blocks if block.type == "thinking"),
            [Call(block.name, compact(block.input), block.id) for block in blocks if block.type == "tool_use"],
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

    def failed(self, error: Any) -> Failed:
        message = error.body["error"]["message"]
        return Failed(type(error).__name__, error.status_code, message, error.response.headers.get("retry-after"))

    async def models(self, client: anthropic.AsyncAnthropic) -> list[str]:
        return [model.id async for model in client.models.list()]

    async def model(self, client: anthropic.AsyncAnthropic, name: str) -> str:
        return (await client.models.retrieve(name)).id


class MessagesSpeaker:
    """A provider of Messages."""

    name = "messages"
    history = "messages"
    signature = "c2lnbmVkIGJ5IG5vYm9keQ=="
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

    def listing(self, *names: str) -> Answer:
        models = [{"type": "model", "id": name, "display_name": name} for name in names]
        return Answer.json({"data": models, "has_more": False})

    def schema(self, body: dict[str, Any]) -> Any:
        return body["output_config"]["format"]["schema"]

    def tools(self, body: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in body["tools"]]

    def proofs(self, body: dict[str, Any]) -> list[str]:
        blocks = [block for message in body["messages"] for block in message["content"] if isinstance(block, dict)]
        return [block["signature"] for block in blocks if block["type"] == "thinking"]

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
        return "assistant", text, [Call(use["name"], compact(use["input"]), use["id"]) for use in uses]

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
