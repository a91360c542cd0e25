"""What a server that takes its API's reference literally would refuse in a request. Written from the references of
OpenAI Chat Completions, Anthropic Messages, OpenAI Responses and Google Gemini, not from the gateway."""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

__all__ = ["Dialect", "results", "wrongs"]

Dialect = Literal["chat", "messages", "responses", "gemini"]

_CHAT_FIELDS = {
    "model", "messages", "tools", "tool_choice", "parallel_tool_calls", "stream", "stream_options", "max_tokens",
    "temperature", "top_p", "stop", "reasoning_effort", "response_format", "presence_penalty", "frequency_penalty",
}  # fmt: skip
"""What servers with a compatible API commonly know."""
_MESSAGES_FIELDS = {
    "model", "messages", "system", "tools", "tool_choice", "stream", "max_tokens", "temperature", "top_p", "top_k",
    "stop_sequences", "thinking", "output_config", "metadata", "context_management", "cache_control",
}  # fmt: skip
_CHAT_MESSAGE = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_GEMINI_FIELDS = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings"}
_GEMINI_KNOBS = {
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "thinkingConfig",
    "responseMimeType", "responseSchema", "responseJsonSchema", "presencePenalty", "frequencyPenalty",
}  # fmt: skip
_GEMINI_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")


def wrongs(body: dict[str, Any], dialect: Dialect) -> list[str]:
    """Everything that is wrong with the request, in words."""
    match dialect:
        case "chat":
            return [*_chat(body)]
        case "messages":
            return [*_messages(body)]
        case "responses":
            return [*_responses(body)]
        case "gemini":
            return [*_gemini(body)]


def results(body: dict[str, Any], dialect: Dialect) -> list[tuple[str, str]]:
    """The results of tools in the conversation: the call's id, and the result as JSON text."""
    match dialect:
        case "chat":
            found = [(m["tool_call_id"], m["content"]) for m in body["messages"] if m["role"] == "tool"]
        case "messages":
            parts = [part for m in body["messages"] if isinstance(m["content"], list) for part in m["content"]]
            found = [(part["tool_use_id"], part.get("content")) for part in parts if part["type"] == "tool_result"]
        case "responses":
            outputs = [item for item in body["input"] if item.get("type") == "function_call_output"]
            found = [(item["call_id"], item["output"]) for item in outputs]
        case "gemini":
            answers = [answer for content in body["contents"] for answer in _members(content, "functionResponse")]
            found = [(answer.get("id", ""), answer["response"]) for answer in answers]
    return [(id_, said if isinstance(said, str) else json.dumps(said)) for id_, said in found]


def _chat(body: dict[str, Any]) -> Iterator[str]:
    if unknown := body.keys() - _CHAT_FIELDS:
        yield f"unknown fields {sorted(unknown)}"
    for tool in body.get("tools", ()):
        if tool["type"] != "function" or not _NAME.match(tool["function"]["name"]):
            yield f"a tool that is no function with a legal name: {json.dumps(tool)[:80]}"
    awaited: list[str] = []
    for place, message in enumerate(body["messages"]):
        role = message["role"]
        if role not in _CHAT_MESSAGE:
            yield f"messages[{place}] has the role {role}"
        elif unknown := message.keys() - _CHAT_MESSAGE[role]:
            yield f"messages[{place}] ({role}) has {sorted(unknown)}"
        if role == "tool":
            if message["tool_call_id"] not in awaited:
                yield f"messages[{place}] answers no call of the message before: {message['tool_call_id']}"
            else:
                awaited.remove(message["tool_call_id"])
            continue
        if awaited:
            yield f"messages[{place}] stands before the results of {awaited}"
        awaited = [call["id"] for call in message.get("tool_calls", ())]
        if not message.get("content") and not awaited:
            yield f"messages[{place}] ({role}) is empty"
    if awaited:
        yield f"no results of {awaited}"


def _messages(body: dict[str, Any]) -> Iterator[str]:
    if unknown := body.keys() - _MESSAGES_FIELDS:
        yield f"unknown fields {sorted(unknown)}"
    awaited: list[str] = []
    for place, message in enumerate(body["messages"]):
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not parts or any(part["type"] == "text" and not part["text"] for part in parts):
            yield f"messages[{place}] is empty or has an empty text"
        answered = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        if sorted(answered) != sorted(awaited):
            yield f"messages[{place}] answers {answered} and should answer {awaited}"
        if any(part["type"] != "tool_result" for part in parts[: len(answered)]):
            yield f"messages[{place}] has something before its results"
        awaited = [part["id"] for part in parts if part["type"] == "tool_use"]
    if awaited:
        yield f"no results of {awaited}"


def _responses(body: dict[str, Any]) -> Iterator[str]:
    items = body["input"] if isinstance(body["input"], list) else []
    called = [item["call_id"] for item in items if item.get("type") == "function_call"]
    answered = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    if sorted(called) != sorted(answered):
        yield f"calls {called}, outputs {answered}"
    prefixes = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_", "function_call_output": "fc"}
    for place, item in enumerate(items):
        prefix = prefixes.get(item.get("type", "message"), "")
        if item.get("id") and not item["id"].startswith(prefix):
            yield f"input[{place}] ({item.get('type')}) has the id {item['id']}"


def _members(content: dict[str, Any], name: str) -> list[Any]:
    return [part[name] for part in content["parts"] if name in part]


def _gemini(body: dict[str, Any]) -> Iterator[str]:
    if unknown := body.keys() - _GEMINI_FIELDS:
        yield f"unknown fields {sorted(unknown)}"
    if unknown := body.get("generationConfig", {}).keys() - _GEMINI_KNOBS:
        yield f"unknown generationConfig {sorted(unknown)}"
    for tool in body.get("tools", ()):
        for function in tool.get("functionDeclarations", ()):
            if not _GEMINI_NAME.match(function["name"]):
                yield f"a function with the name {function['name']}"
    if body["contents"][0]["role"] != "user":
        yield "contents begin with the model"
    awaited: list[str] = []
    for place, content in enumerate(body["contents"]):
        if content["role"] not in ("user", "model"):
            yield f"contents[{place}] has the role {content['role']}"
        if not content["parts"] or any(not part for part in content["parts"]):
            yield f"contents[{place}] is empty or has an empty part"
        answers = _members(content, "functionResponse")
        if [answer["name"] for answer in answers] != awaited:
            yield f"contents[{place}] answers {[answer['name'] for answer in answers]} and should answer {awaited}"
        if any(not isinstance(answer["response"], dict) for answer in answers):
            yield f"contents[{place}] has a response that is no object"
        awaited = [call["name"] for call in _members(content, "functionCall")]
    if awaited:
        yield f"no results of {awaited}"
