"""What the endpoints look like in an OpenAPI 3.1 document. Describes only; nothing is checked against it.

Schemas stand inline, since frameworks that take an operation from here do not merge components. They name the fields
most callers use; the dialects' own references have the rest.
"""

from typing import Any, TypeAlias

from asgi_llm.dialects.forwarded import Forwarded
from asgi_llm.endpoints import Endpoint

__all__ = ["operation"]

Schema: TypeAlias = dict[str, Any]


def operation(endpoint: Endpoint) -> dict[str, Any]:
    """The operation object of ``endpoint``, a new one each time: summary, description, request body and responses."""
    found: dict[str, Any] = {"summary": endpoint.summary, "responses": _responses(endpoint)}
    if endpoint.name in _ABOUT:
        found["description"] = _ABOUT[endpoint.name]
    if endpoint.forwarded is not None:
        if endpoint.forwarded.body != "none":
            found["requestBody"] = _forwarded_request(endpoint.forwarded)
    elif (body := _REQUESTS.get(endpoint.name)) is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body()}}}
    return found


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.kind == "count":
        return {"200": _count(endpoint), "4XX": _error(endpoint), "5XX": _error(endpoint)}
    if endpoint.forwarded is not None:
        return {
            "200": {"description": "The answer", "content": _forwarded_answer(endpoint.forwarded)},
            "4XX": _error(endpoint),
            "5XX": _error(endpoint),
        }
    if endpoint.kind != "call":
        return {"200": {"description": "The answer", "content": _json({"type": "object"})}} | (
            {"503": {"description": "It is shutting down", "content": _json({"type": "object"})}}
            if endpoint.kind == "ready"
            else {"4XX": _error(endpoint)}
            if endpoint.kind in ("models", "usage", "diagnose", "stored")
            else {}
        )
    whole = _json({"type": "object", "description": f"The {endpoint.dialect} dialect's whole answer"})
    asked = "`alt=sse` is in the query" if endpoint.stream else "`stream` is true"
    events = {"text/event-stream": {"schema": {"type": "string", "description": f"Events, where {asked}"}}}
    if endpoint.dialect == "gemini":
        whole = whole if not endpoint.stream else _json(_array({"type": "object"}))
        events = events if endpoint.stream else {}
    return {
        "200": {"description": "The answer, whole or as a stream of events", "content": whole | events},
        "4XX": _error(endpoint),
        "5XX": _error(endpoint),
    }


def _forwarded_request(endpoint: Forwarded) -> dict[str, Any]:
    """The fields by which people know it; which others there are is the upstream's to say."""
    example = _FORWARDED[endpoint.name]
    properties: dict[str, Schema] = {name: {} if value is not _FILE else _FILE for name, value in example.items()}
    if endpoint.model != "none":
        properties["model"] = _text("Decides which upstream answers")
    required = [name for name in example if name != "model" or endpoint.model == "needed"]
    schema = _object(properties, required)
    if endpoint.body == "form":
        return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    schema["examples"] = [example]
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _forwarded_answer(endpoint: Forwarded) -> dict[str, Any]:
    if endpoint.whole:
        return _json({"type": ["object", "array"]})
    return _json({"type": "object"}) | {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


_FILE: Schema = {"type": "string", "format": "binary"}
_FORWARDED: dict[str, dict[str, Any]] = {
    "completions": {"model": "echo", "prompt": "Once upon a time"},
    "embeddings": {"model": "echo", "input": ["first text", "second text"]},
    "embed_content": {"content": {"parts": [{"text": "a text"}]}},
    "batch_embed_contents": {"requests": [{"content": {"parts": [{"text": "a text"}]}}]},
    "rerank": {"model": "echo", "query": "a question", "documents": ["first text", "second text"]},
    "classify": {"model": "echo", "input": "a text"},
    "moderations": {"model": "echo", "input": "a text"},
    "score": {"model": "echo", "text_1": "a text", "text_2": "another text"},
    "images_generations": {"model": "echo", "prompt": "a house"},
    "images_edits": {"model": "echo", "image": _FILE, "prompt": "a house"},
    "images_variations": {"model": "echo", "image": _FILE},
    "audio_speech": {"model": "echo", "input": "Hello", "voice": "alloy"},
    "audio_transcriptions": {"model": "echo", "file": _FILE},
    "audio_translations": {"model": "echo", "file": _FILE},
    "files": {"file": _FILE, "purpose": "batch"},
    "batches": {"input_file_id": "file-llm-...", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    "generate": {"text": "Once upon a time"},
    "tokenize": {"model": "echo", "prompt": "a text"},
    "detokenize": {"model": "echo", "tokens": [1, 2, 3]},
}
"""What a request has at least; also the example in the document."""


def _count(endpoint: Endpoint) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0, "description": "Tokens of the request"}
    name = "totalTokens" if endpoint.dialect == "gemini" else "input_tokens"
    schema = _object({name: number}, [name])
    if endpoint.dialect == "responses":
        schema["properties"]["object"] = {"const": "response.input_tokens"}
    headers = {
        "x-llm-warnings": {
            "description": "`input_tokens;estimate` where no upstream counted",
            "schema": _text(),
        }
    }
    return {"description": "The count", "content": _json(schema), "headers": headers}


def _error(endpoint: Endpoint) -> dict[str, Any]:
    error = _object({"type": _text(), "message": _text()}, ["type", "message"])
    schema = _object({"error": error}, ["error"])
    if endpoint.dialect == "messages":
        schema["properties"]["type"] = {"const": "error"}
    else:
        error["properties"] |= {"code": {"type": ["string", "null"]}, "param": {"type": ["string", "null"]}}
    return {"description": "An error in the endpoint's dialect", "content": _json(schema)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": True}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _text(description: str = "") -> Schema:
    return {"type": "string", "description": description} if description else {"type": "string"}


def _integer(description: str) -> Schema:
    return {"type": "integer", "minimum": 1, "description": description}


def _common() -> dict[str, Schema]:
    return {
        "model": _text("Decides which upstream answers"),
        "stream": {"type": "boolean", "default": False, "description": "Answer with server-sent events"},
        "temperature": {"type": "number", "minimum": 0},
        "tools": _array({"type": "object", "additionalProperties": True}),
    }


def _said(*roles: str) -> Schema:
    """A turn: who says it, and a string or a list of parts."""
    parts = _array({"type": "object", "additionalProperties": True})
    content = {"anyOf": [_text(), parts, {"type": "null"}]}
    return _object({"role": {"type": "string", "enum": list(roles)}, "content": content}, ["role"])


def _chat() -> Schema:
    fields = _common() | {
        "messages": _array(_said("developer", "system", "user", "assistant", "tool")),
        "max_completion_tokens": _integer("Most tokens of the answer, thinking included"),
        "reasoning_effort": _text("How hard to think: none, minimal, low, medium, high, ..."),
        "response_format": {"type": "object", "additionalProperties": True},
    }
    return _object(
        fields | {"tool_choice": {"anyOf": [_text(), {"type": "object"}]}},
        ["model", "messages"],
    ) | {"examples": [{"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}]}


def _messages() -> Schema:
    fields = _common() | {
        "messages": _array(_said("user", "assistant")),
        "max_tokens": _integer("Most tokens of the answer, thinking included"),
        "system": {"anyOf": [_text(), _array({"type": "object"})]},
        "thinking": {"type": "object", "additionalProperties": True},
        "tool_choice": {"type": "object", "additionalProperties": True},
    }
    return _object(fields, ["model", "max_tokens", "messages"]) | {
        "examples": [{"model": "echo", "max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}]}]
    }


def _responses_request() -> Schema:
    fields = _common() | {
        "input": {"anyOf": [_text(), _array({"type": "object", "additionalProperties": True})]},
        "instructions": {"type": ["string", "null"]},
        "max_output_tokens": _integer("Most tokens of the answer, thinking included"),
        "reasoning": {"type": "object", "additionalProperties": True},
        "tool_choice": {"anyOf": [_text(), {"type": "object"}]},
    }
    return _object(fields, ["model", "input"]) | {"examples": [{"model": "echo", "input": "Hello"}]}


def _compact_request() -> Schema:
    fields = {
        "model": _text("Sums the conversation up"),
        "input": {"anyOf": [_text(), _array({"type": "object", "additionalProperties": True})]},
        "previous_response_id": {"type": ["string", "null"]},
        "instructions": {"type": ["string", "null"]},
    }
    return _object(fields, ["model"]) | {"examples": [{"model": "echo", "input": "Hello"}]}


def _conversation_request() -> Schema:
    fields = {
        "items": _array({"type": "object", "additionalProperties": True}),
        "metadata": {"type": "object", "additionalProperties": _text()},
    }
    return _object(fields, []) | {"examples": [{"metadata": {"topic": "demo"}}]}


def _contents() -> Schema:
    parts = _array(_object({"text": _text()}, []))
    turn = _object({"role": {"type": "string", "enum": ["user", "model"]}, "parts": parts}, ["parts"])
    fields = {
        "contents": _array(turn),
        "systemInstruction": _object({"parts": parts}, ["parts"]),
        "tools": _array({"type": "object", "additionalProperties": True}),
        "toolConfig": {"type": "object", "additionalProperties": True},
        "generationConfig": {"type": "object", "additionalProperties": True},
        "safetySettings": _array({"type": "object", "additionalProperties": True}),
    }
    return _object(fields, ["contents"]) | {
        "examples": [{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}],
    }


def _without(schema: Schema, *names: str) -> Schema:
    """``schema`` less what is about the answer only."""
    for name in names:
        schema["properties"].pop(name, None)
        schema["examples"][0].pop(name, None)
    schema["required"] = [name for name in schema["required"] if name not in names]
    return schema


def _messages_count() -> Schema:
    return _without(_messages(), "max_tokens", "stream", "temperature")


def _responses_count() -> Schema:
    return _without(_responses_request(), "max_output_tokens", "stream", "temperature")


def _contents_count() -> Schema:
    schema = _contents()
    return {
        "type": "object",
        "properties": schema["properties"] | {"generateContentRequest": _object({"model": _text()}, [])},
        "additionalProperties": True,
        "examples": schema["examples"],
    }


_REQUESTS = {
    "chat_completions": _chat,
    "messages": _messages,
    "responses": _responses_request,
    "generate_content": _contents,
    "stream_generate_content": _contents,
    "messages_count_tokens": _messages_count,
    "responses_input_tokens": _responses_count,
    "count_tokens": _contents_count,
    "response_compact": _compact_request,
    "conversations": _conversation_request,
}
_ABOUT = {
    "usage": "Sums of the caller's own requests, tokens and cost (microdollars); `by` groups them by day, model and "
    "more, `since` and `until` bound them, `view=rows` lists single requests. Only where a ledger is kept.",
    "chat_completions": "Takes and gives what the OpenAI Chat Completions API does.",
    "messages": "Takes and gives what the Anthropic Messages API does.",
    "responses": "Takes and gives what the OpenAI Responses API does.",
    "generate_content": "Takes and gives what the Gemini API does.",
    "stream_generate_content": "Takes and gives what the Gemini API does: events with `alt=sse`, else one JSON array.",
    "messages_count_tokens": "By the upstream where it counts, else an estimate, marked in `x-llm-warnings`.",
    "responses_input_tokens": "By the upstream where it counts, else an estimate, marked in `x-llm-warnings`.",
    "count_tokens": "Takes `contents`, or a whole request under `generateContentRequest`. By the upstream where it "
    "counts, else an estimate, marked in `x-llm-warnings`.",
    "response": "`stream=true` tells its stream again; where it runs in the background, `starting_after` takes it up "
    "behind that event.",
    "response_cancel": "Only of one that runs in the background.",
    "response_input_items": "Those of earlier responses that it builds upon come first; `limit`, `order` and `after` "
    "say which.",
    "conversation": "`POST` takes `metadata`, in place of what there was.",
    "conversation_items": "`GET` takes `limit`, `order` and `after`; `POST` takes up to 20 `items`.",
    "models": "In Anthropic's shape where the request has an `anthropic-version` header, in Gemini's where it has an "
    "`x-goog-api-key` header or the path is Gemini's, else in OpenAI's.",
}
