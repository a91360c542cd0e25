"""The same talk through each of the official SDKs: asked in its words, told back as one kind of value.

An SDK is used here as any program would use it. What it hands out is not trusted: whoever calls looks at ``Said``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

__all__ = ["SDKS", "Said", "ToolCall", "Turn"]

MAX_TOKENS = 600


@dataclass
class ToolCall:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Turn:
    """A question and, in the second round, the calls that the model made and what came of them. ``said`` is the
    assistant's part in the SDK's own words."""

    question: str
    tools: tuple[dict[str, Any], ...] = ()
    must_call: bool = False
    said: Any = None
    results: dict[str, str] = field(default_factory=dict)


@dataclass
class Said:
    """An answer. ``pieces`` are the deltas of a stream in their order, ``own`` is the answer in the SDK's own words,
    to be sent back in the next turn."""

    model: str = ""
    thoughts: str = ""
    text: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    finish: str | None = None
    input: int = 0
    output: int = 0
    pieces: list[str] = field(default_factory=list)
    own: Any = None


def chat(client: openai.OpenAI, model: str, turn: Turn, stream: bool) -> Said:
    """Chat Completions, by the OpenAI SDK."""
    messages: list[Any] = [{"role": "user", "content": turn.question}]
    if turn.said is not None:
        messages.append(turn.said)
        messages += [{"role": "tool", "tool_call_id": call, "content": text} for call, text in turn.results.items()]
    asked: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS}
    if turn.tools:
        asked["tools"] = [{"type": "function", "function": tool} for tool in turn.tools]
        asked["tool_choice"] = "required" if turn.must_call else "auto"
    said = Said()
    if not stream:
        answer = client.chat.completions.create(**asked)
        [choice] = answer.choices
        return _chat_said(said, answer, choice.message, choice.finish_reason, answer.usage)
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        for event in events:
            if event.type == "chunk":
                for part in event.chunk.choices:
                    piece = part.delta.content or getattr(part.delta, "reasoning_content", None)
                    said.pieces += [piece] if piece else []
                    calls = [call.function for call in part.delta.tool_calls or () if call.function]
                    said.pieces += [call.arguments for call in calls if call.arguments]
        final = events.get_final_completion()
    [choice] = final.choices
    return _chat_said(said, final, choice.message, choice.finish_reason, final.usage)


def _chat_said(said: Said, answer: Any, message: Any, finish: str, usage: Any) -> Said:
    said.model, said.finish, said.text = answer.model, finish, message.content or ""
    said.thoughts = getattr(message, "reasoning_content", None) or ""
    said.input, said.output = usage.prompt_tokens, usage.completion_tokens
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    said.calls = [ToolCall(number, name, json.loads(arguments)) for number, name, arguments in calls]
    said.own = {"role": "assistant", "content": message.content}
    if calls:
        said.own["tool_calls"] = [
            {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, name, arguments in calls
        ]
    return said


def responses(client: openai.OpenAI, model: str, turn: Turn, stream: bool) -> Said:
    """Responses, by the OpenAI SDK."""
    items: list[Any] = [{"role": "user", "content": turn.question}]
    if turn.said is not None:
        items += turn.said
        items += [
            {"type": "function_call_output", "call_id": call, "output": text} for call, text in turn.results.items()
        ]
    asked: dict[str, Any] = {"model": model, "input": items, "max_output_tokens": MAX_TOKENS, "store": False}
    if turn.tools:
        asked["tools"] = [{"type": "function", "strict": False, **tool} for tool in turn.tools]
        asked["tool_choice"] = "required" if turn.must_call else "auto"
    said = Said()
    answer: Any = None
    if not stream:
        answer = client.responses.create(**asked)
    else:
        for event in client.responses.create(**asked, stream=True):
            if event.type.endswith(".delta"):
                said.pieces.append(event.delta)
            elif event.type in ("response.completed", "response.incomplete", "response.failed"):
                answer = event.response
    said.model, said.finish = answer.model, answer.status
    said.input, said.output = answer.usage.input_tokens, answer.usage.output_tokens
    for item in answer.output:
        match item.type:
            case "reasoning":
                said.thoughts += "".join(part.text for part in [*item.summary, *(item.content or ())])
            case "message":
                said.text += "".join(part.text for part in item.content)
            case "function_call":
                said.calls.append(ToolCall(item.call_id, item.name, json.loads(item.arguments)))
    said.own = [item.model_dump(exclude_none=True) for item in answer.output]
    return said


def messages(client: anthropic.Anthropic, model: str, turn: Turn, stream: bool) -> Said:
    """Messages, by the Anthropic SDK."""
    history: list[Any] = [{"role": "user", "content": turn.question}]
    if turn.said is not None:
        history.append({"role": "assistant", "content": turn.said})
        results = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in turn.results.items()]
        history.append({"role": "user", "content": results})
    asked: dict[str, Any] = {"model": model, "messages": history, "max_tokens": MAX_TOKENS}
    if turn.tools:
        asked["tools"] = [
            {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
            for tool in turn.tools
        ]
        asked["tool_choice"] = {"type": "any" if turn.must_call else "auto"}
    said = Said()
    if not stream:
        answer: Any = client.messages.create(**asked)
    else:
        with client.messages.stream(**asked) as events:
            for event in events:
                if event.type == "content_block_delta":
                    delta: Any = event.delta
                    kinds = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
                    piece = getattr(delta, kinds.get(delta.type, ""), "")
                    said.pieces += [piece] if piece else []
            answer = events.get_final_message()
    said.model, said.finish = answer.model, answer.stop_reason
    usage = answer.usage
    said.input = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    said.output = usage.output_tokens
    for block in answer.content:
        match block.type:
            case "thinking":
                said.thoughts += block.thinking
            case "text":
                said.text += block.text
            case "tool_use":
                said.calls.append(ToolCall(block.id, block.name, block.input))
    said.own = [block.model_dump(exclude_none=True) for block in answer.content]
    return said


SDKS: dict[str, Callable[[Any, str, Turn, bool], Said]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
}
