"""Gemini: ``google-genai`` on the caller's end, a provider on the other."""

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import httpx2
from ends.said import Failed, Picture, Result, Said, Turn, compact
from google import genai
from google.genai import errors, types

from asgi_llm.testing import Answer, Call, Tokens, gemini_error, gemini_events, gemini_response

__all__ = ["GeminiCaller", "GeminiSpeaker"]


class GeminiCaller:
    """``google-genai``, its asynchronous half."""

    name = "gemini"
    failures: ClassVar = (errors.APIError, httpx2.TimeoutException)
    time_out = "ReadTimeout"
    finishes: ClassVar = {"end": "STOP", "tools": "STOP"}

    def client(self, url: str, http: httpx2.AsyncClient, key: str, options: dict[str, Any]) -> genai.Client:
        seconds, retries = options.get("timeout"), options["max_retries"]
        how = types.HttpOptions(
            base_url=url,
            httpx_async_client=http,
            timeout=int(seconds * 1000) if seconds else None,
            retry_options=types.HttpRetryOptions(attempts=retries + 1, initial_delay=0.01) if retries else None,
            **({"api_version": options["version"]} if "version" in options else {}),
        )
        return genai.Client(api_key=key, http_options=how)

    def ask(self, *turns: Turn, system: str = "", tools: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
        model = more.pop("model", "m")
        if system:
            more["system_instruction"] = system
        if tools:
            declared = [
                types.FunctionDeclaration(
                    name=tool["name"], description=tool["description"], parameters_json_schema=tool["schema"]
                )
                for tool in tools
            ]
            more["tools"] = [types.Tool(function_declarations=declared)]
        names = {call.id: call.name for turn in turns if isinstance(turn, Said) for call in turn.calls}
        contents: list[types.Content] = []
        for turn in turns:
            contents += turn.message if isinstance(turn, Said) else [self._content(turn, names)]
        return {"model": model, "contents": contents, "config": types.GenerateContentConfig(**more)}

    def formatted(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {"response_mime_type": "application/json", "response_json_schema": schema}

    def _content(self, turn: Turn, names: dict[str, str]) -> types.Content:
        assert not isinstance(turn, Said)
        parts = [types.Part(text=turn)] if isinstance(turn, str) else [self._part(part, names) for part in turn]
        return types.Content(role="user", parts=parts)

    def _part(self, part: str | Picture | Result, names: dict[str, str]) -> types.Part:
        match part:
            case str():
                return types.Part(text=part)
            case Picture(url=url) if url:
                return types.Part.from_uri(file_uri=url, mime_type="image/png")
            case Picture(data=data):
                return types.Part.from_bytes(data=base64.b64decode(data), mime_type="image/png")
            case Result(id=id_, parts=parts):
                text = "".join(one for one in parts if isinstance(one, str))
                shown = [
                    types.FunctionResponsePart.from_bytes(data=base64.b64decode(one.data), mime_type="image/png")
                    for one in parts
                    if isinstance(one, Picture)
                ]
                told = {"error" if part.error else "output": text}
                answer = types.FunctionResponse(id=id_, name=names[id_], response=told, parts=shown or None)
                return types.Part(function_response=answer)

    async def whole(self, client: genai.Client, asked: dict[str, Any]) -> Said:
        said = Said()
        self._read(await client.aio.models.generate_content(**asked), said)
        return said

    async def open(self, client: genai.Client, asked: dict[str, Any]) -> Any:
        return await client.aio.models.generate_content_stream(**asked)

    async def plain(self, client: genai.Client, asked: dict[str, Any]) -> Said:
        said = Said()
        async for piece in await self.open(client, asked):
            assert said.finish is None, "something came after the finish reason"
            self._read(piece, said)
        return said

    async def helper(self, client: genai.Client, asked: dict[str, Any]) -> Said:
        """Through a chat, which keeps the history itself: a content for each piece."""
        *history, last = asked["contents"]
        chat = client.aio.chats.create(model=asked["model"], config=asked["config"], history=history)
        said = Said()
        async for piece in await chat.send_message_stream(last.parts):
            self._read(piece, said)
        said.message = chat.get_history()[len(history) + 1 :]
        return said

    def _read(self, piece: types.GenerateContentResponse, said: Said) -> None:
        """What came with one piece, added to what was said before."""
        said.model = piece.model_version or said.model
        if piece.usage_metadata:
            said.usage = self._tokens(piece.usage_metadata)
        (candidate,) = piece.candidates or [types.Candidate()]
        said.finish = candidate.finish_reason.value if candidate.finish_reason else said.finish
        if candidate.content is None:
            return
        said.message = [*(said.message or ()), candidate.content]
        for part in candidate.content.parts or ():
            if part.function_call:
                call = part.function_call
                said.calls.append(Call(call.name or "", compact(call.args), call.id or ""))
            elif part.thought:
                said.thoughts += part.text or ""
            else:
                said.text += part.text or ""

    def _tokens(self, usage: types.GenerateContentResponseUsageMetadata) -> Tokens:
        spent = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        assert usage.total_token_count == (usage.prompt_token_count or 0) + spent
        return Tokens(
            input=usage.prompt_token_count or 0,
            output=spent,
            cached=usage.cached_content_token_count or 0,
            reasoning=usage.thoughts_token_count or 0,
        )

    def failed(self, error: Any) -> Failed:
        headers = error.response.headers if error.response is not None else {}
        return Failed(type(error).__name__, error.code, error.message or "", headers.get("retry-after"))

    async def models(self, client: genai.Client) -> list[str]:
        return [model.name.removeprefix("models/") async for model in await client.aio.models.list()]

    async def model(self, client: genai.Client, name: str) -> str:
        found = await client.aio.models.get(model=name)
        return (found.name or "").removeprefix("models/")


class GeminiSpeaker:
    """A provider of Gemini."""

    name = "gemini"
    history = "contents"
    settings: ClassVar[dict[str, Any]] = {"provider": "gemini"}
    signature = "c2lnbmVkIGJ5IG5vYm9keQ=="

    def answer(self, stream: bool, pieces: Sequence[Any] = ("Hel", "lo!"), **options: Any) -> Answer:
        split = options.pop("split", 0)
        if stream:
            return Answer.sse(gemini_events(pieces, **options), split=split)
        return Answer.json(gemini_response("".join(pieces), **options), split=split)

    def error(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
        kinds |= {500: "INTERNAL", 529: "UNAVAILABLE"}
        return gemini_error(503 if status == 529 else status, message, kind=kinds[status], headers=headers)

    def listing(self, *names: str) -> Answer:
        return Answer.json({"models": [{"name": f"models/{name}"} for name in names]})

    def schema(self, body: dict[str, Any]) -> Any:
        config = body["generationConfig"]
        assert config["responseMimeType"] == "application/json"
        return config["responseJsonSchema"]

    def tools(self, body: dict[str, Any]) -> list[str]:
        return [one["name"] for tool in body["tools"] for one in tool["functionDeclarations"]]

    def proofs(self, body: dict[str, Any]) -> list[str]:
        """The signatures that came back, and that each is where it was."""
        parts = [part for content in body["contents"] for part in content["parts"]]
        assert all("functionCall" in part for part in parts if "thoughtSignature" in part)
        return [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]

    def heard(self, body: dict[str, Any]) -> list[Any]:
        system = body.get("systemInstruction")
        heard: list[Any] = [("system", [part["text"] for part in system["parts"]])] if system else []
        for content in body["contents"]:
            parts = content["parts"]
            if content["role"] == "model":
                text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
                called = [part["functionCall"] for part in parts if "functionCall" in part]
                calls = [Call(call["name"], compact(call["args"]), call["id"]) for call in called]
                heard.append(("assistant", text, calls))
                continue
            results = [part["functionResponse"] for part in parts if "functionResponse" in part]
            heard += [("result", one["id"], self._result(one)) for one in results]
            if rest := [self._part(part) for part in parts if "functionResponse" not in part]:
                heard.append(("user", rest))
        return heard

    def _result(self, answer: dict[str, Any]) -> Any:
        (text,) = answer["response"].values()
        shown = [self._part(part) for part in answer.get("parts", ())]
        return [text, *shown] if shown else text

    def _part(self, part: dict[str, Any]) -> Any:
        if "text" in part:
            return part["text"]
        if "fileData" in part:
            return part["fileData"]["fileUri"]
        # The SDK itself writes some names with underscores, and its own base64: that is passed on as it is.
        media = part.get("inlineData") or part["inline_data"]
        data = media["data"].translate(str.maketrans("-_", "+/"))
        return f"data:{media.get('mimeType') or media['mime_type']};base64,{data}"
