"""Responses: ``openai`` on the caller's end, a provider on the other."""

from collections.abc import Sequence
from typing import Any, ClassVar

import httpx2
import openai
from ends.said import Failed, Picture, Result, Said, Turn

from asgi_llm.testing import Answer, Call, Tokens, responses_error, responses_events, responses_response

__all__ = ["ResponsesCaller", "ResponsesSpeaker"]


class ResponsesCaller:
    """``openai``, Responses."""

    name = "responses"
    sdk = openai
    failures: ClassVar = (openai.APIError,)
    time_out = "APITimeoutError"
    finishes: ClassVar = {"end": "completed", "tools": "completed"}

    def client(self, url: str, http: httpx2.AsyncClient, key: str, options: dict[str, Any]) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, http_client=http, **options)

    def ask(self, *turns: Turn, system: str = "", tools: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
        asked: dict[str, Any] = {"model": "m", "store": False, "include": ["reasoning.encrypted_content"], **more}
        asked["input"] = [item for turn in turns for item in self._items(turn)]
        if system:
            asked["instructions"] = system
        if tools:
            asked["tools"] = [
                {
                    "type": "function",
                    "name": tool["name"],
                    "description": tool["description"],
                    "parameters": tool["schema"],
                    "strict": True,
                }
                for tool in tools
            ]
        return asked

    def formatted(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {"text": {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}}

    def _items(self, turn: Turn) -> list[Any]:
        if isinstance(turn, Said):
            return list(turn.message)
        if isinstance(turn, str):
            return [{"role": "user", "content": turn}]
        items: list[Any] = []
        for one in turn:
            if isinstance(one, Result):
                told: Any = [self._part(part) for part in one.parts]
                told = one.parts[0] if len(told) == 1 and isinstance(one.parts[0], str) else told
                items.append({"type": "function_call_output", "call_id": one.id, "output": told})
        if parts := [self._part(part) for part in turn if not isinstance(part, Result)]:
            items.append({"role": "user", "content": parts})
        return items

    def _part(self, part: str | Picture) -> dict[str, Any]:
        if isinstance(part, str):
            return {"type": "input_text", "text": part}
        url = part.url or f"data:image/png;base64,{part.data}"
        return {"type": "input_image", "image_url": url, "detail": "auto"}

    async def whole(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        return self._said(await client.responses.create(**asked))

    async def open(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Any:
        return await client.responses.create(**asked, stream=True)

    async def plain(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        events = [event async for event in await self.open(client, asked)]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        said = self._said(events[-1].response)
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == said.text
        return said

    async def helper(self, client: openai.AsyncOpenAI, asked: dict[str, Any]) -> Said:
        async with client.responses.stream(**asked) as stream:
            async for _ in stream:
                pass
            return self._said(await stream.get_final_response())

    def _said(self, response: Any) -> Said:
        items = response.output
        usage = response.usage
        return Said(
            response.output_text,
            "".join(part.text for item in items if item.type == "reasoning" for part in item.summary),
            [Call(item.name, item.arguments, item.call_id) for item in items if item.type == "function_call"],
            response.status,
            usage and self._tokens(usage),
            # The helper's own additions are not for the wire.
            [self._replay(item) for item in items],
            response.model,
        )

    def _replay(self, item: Any) -> dict[str, Any]:
        value: dict[str, Any] = item.model_dump(exclude_none=True, exclude={"parsed_arguments"})
        for part in value.get("content") or ():
            part.pop("parsed", None)
        return value

    def _tokens(self, usage: Any) -> Tokens:
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        return Tokens(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cached=usage.input_tokens_details.cached_tokens,
            written=usage.input_tokens_details.cache_write_tokens or 0,
            reasoning=usage.output_tokens_details.reasoning_tokens,
        )

    def failed(self, error: Any) -> Failed:
        return Failed(type(error).__name__, error.status_code, error.message, error.response.headers.get("retry-after"))

    async def models(self, client: openai.AsyncOpenAI) -> list[str]:
        return [model.id async for model in client.models.list()]

    async def model(self, client: openai.AsyncOpenAI, name: str) -> str:
        return (await client.models.retrieve(name)).id


class ResponsesSpeaker:
    """A provider of Responses."""

    name = "responses"
    history = "input"
    settings: ClassVar[dict[str, Any]] = {"provider": "openai", "dialects": ["responses"]}
    signature = "ZW5jcnlwdGVkIGZvciBub2JvZHk="

    def answer(self, stream: bool, pieces: Sequence[Any] = ("Hel", "lo!"), **options: Any) -> Answer:
        split = options.pop("split", 0)
        if not stream:
            response = responses_response("".join(pieces), **options)
            self._encrypt(response)
            return Answer.json(response, split=split)
        events = responses_events(pieces, **options)
        for event in events:
            if isinstance(event, dict):
                self._encrypt(event.get("response", {}))
                self._encrypt({"output": [event.get("item", {})]})
        return Answer.sse(events, split=split)

    def _encrypt(self, response: dict[str, Any]) -> None:
        for item in response.get("output", ()):
            if item.get("type") == "reasoning":
                item["encrypted_content"] = self.signature

    def error(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        return responses_error(503 if status == 529 else status, message, headers=headers)

    def listing(self, *names: str) -> Answer:
        return Answer.json(
            {"object": "list", "data": [{"id": name, "object": "model", "created": 1} for name in names]}
        )

    def schema(self, body: dict[str, Any]) -> Any:
        return body["text"]["format"]["schema"]

    def tools(self, body: dict[str, Any]) -> list[str]:
        return [tool["name"] for tool in body["tools"]]

    def proofs(self, body: dict[str, Any]) -> list[str]:
        return [item["encrypted_content"] for item in body["input"] if item.get("type") == "reasoning"]

    def heard(self, body: dict[str, Any]) -> list[Any]:
        heard: list[Any] = [("system", [body["instructions"]])] if body.get("instructions") else []
        said: tuple[str, str, list[Call]] | None = None
        for item in body["input"]:
            kind = item.get("type", "message")
            if kind == "function_call" or item.get("role") == "assistant":
                if said is None:
                    said = ("assistant", "", [])
                    heard.append(said)
                if kind == "function_call":
                    said[2].append(Call(item["name"], item["arguments"], item["call_id"]))
                else:
                    said = heard[-1] = ("assistant", said[1] + "".join(self._parts(item["content"])), said[2])
                continue
            if kind == "reasoning":
                continue
            said = None
            if kind == "function_call_output":
                told = self._parts(item["output"])
                one = len(told) == 1 and not told[0].startswith("data:")
                heard.append(("result", item["call_id"], told[0] if one else told))
            else:
                heard.append((item["role"], self._parts(item["content"])))
        return heard

    def _parts(self, content: Any) -> list[str]:
        if isinstance(content, str):
            return [content]
        return [part.get("text") or part["image_url"] for part in content]
