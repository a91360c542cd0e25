"""The request bodies. Made from a fixed seed, so that every run and every machine sends the same bytes.

A stream body carries its script (`[script chunks=N spacing_us=M]`) in the last user message, where `upstream.c` looks
for it: text is what every gateway passes on and every translation keeps.
"""

import json
import random
from pathlib import Path
from typing import Any

MODEL = "bench"
VOCABULARY = (
    "the model gateway routes a request by its name and streams tokens back while the worker keeps the prompt prefix "
    'in its cache edit the file "src/main.py" run tests read this function return value line\nerror path user system'
)
WORDS = VOCABULARY.split(" ")

Body = dict[str, Any]


class Writer:
    """Filler text and bodies from one random source."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def text(self, length: int) -> str:
        """Exactly `length` characters of words."""
        words: list[str] = []
        while sum(map(len, words)) + len(words) <= length:
            words.extend(self._random.choices(WORDS, k=20))
        return " ".join(words)[:length]

    def small_chat(self, script: str = "") -> Body:
        """A short conversation of about 2 KB for Chat Completions."""
        return {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": self.text(600)},
                {"role": "user", "content": self.text(550)},
                {"role": "assistant", "content": "Understood."},
                {"role": "user", "content": self.text(550) + script},
            ],
            "temperature": 0.7,
            "max_tokens": 512,
        }

    def small_messages(self, script: str = "") -> Body:
        """A short conversation of about 2 KB for Messages."""
        return {
            "model": MODEL,
            "max_tokens": 512,
            "system": self.text(600),
            "messages": [
                {"role": "user", "content": self.text(550)},
                {"role": "assistant", "content": [{"type": "text", "text": "Understood."}]},
                {"role": "user", "content": [{"type": "text", "text": self.text(550) + script}]},
            ],
        }

    def small_responses(self, script: str = "") -> Body:
        """A short conversation of about 2 KB for Responses."""
        return {
            "model": MODEL,
            "max_output_tokens": 512,
            "instructions": self.text(600),
            "input": [
                {"role": "user", "content": self.text(550)},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Understood."}]},
                {"role": "user", "content": [{"type": "input_text", "text": self.text(550) + script}]},
            ],
            "store": False,
        }

    def small_gemini(self, script: str = "") -> Body:
        """A short conversation of about 2 KB for Gemini."""
        return {
            "systemInstruction": {"parts": [{"text": self.text(600)}]},
            "contents": [
                {"role": "user", "parts": [{"text": self.text(550)}]},
                {"role": "model", "parts": [{"text": "Understood."}]},
                {"role": "user", "parts": [{"text": self.text(550) + script}]},
            ],
            "generationConfig": {"maxOutputTokens": 512, "temperature": 0.7},
        }

    def agent_messages(self) -> Body:
        """The request of a coding agent in the middle of its work: 20 tools, 24 turns, about 157 KB."""
        turns: list[Body] = [{"role": "user", "content": [{"type": "text", "text": self.text(2900)}]}]
        for number in range(1, 24, 2):
            turns.append({"role": "assistant", "content": self._tool_use(number)})
            turns.append({"role": "user", "content": [self._tool_result(number)]})
        return {
            "model": MODEL,
            "max_tokens": 32000,
            "metadata": {"user_id": "user_" + "5e" * 32},
            "system": [
                {"type": "text", "text": "You are a coding agent."},
                {"type": "text", "text": self.text(14000), "cache_control": {"type": "ephemeral"}},
            ],
            "tools": [self.tool(number) for number in range(20)],
            "messages": turns,
        }

    def tool(self, number: int) -> Body:
        """One of some 2.7 KB."""
        properties: Body = {
            f"argument_{i}": {"type": self._random.choice(["string", "integer"]), "description": self.text(120)}
            for i in range(6)
        }
        properties["steps"] = {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "content": {"type": "string", "minLength": 1},
                    "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                },
                "required": ["content", "status"],
                "additionalProperties": False,
            },
        }
        return {
            "name": f"tool_{number}",
            "description": self.text(1650),
            "input_schema": {"type": "object", "properties": properties, "required": ["argument_0"]},
        }

    def _tool_use(self, number: int) -> list[Body]:
        arguments = {"file_path": "/repo/src/main.py", "old_text": self.text(600), "new_text": self.text(700)}
        return [
            {"type": "text", "text": self.text(200)},
            {"type": "tool_use", "id": f"toolu_{number:024d}", "name": f"tool_{number % 20}", "input": arguments},
        ]

    def _tool_result(self, number: int) -> Body:
        content = [{"type": "text", "text": self.text(4650)}]
        return {"type": "tool_result", "tool_use_id": f"toolu_{number:024d}", "content": content}


def agent_chat(messages: Body) -> Body:
    """The same agent request as Chat Completions has it: tools as functions, results as messages of their own."""
    turns: list[Body] = [{"role": "system", "content": "\n".join(block["text"] for block in messages["system"])}]
    turns.extend(_chat_turn(turn["role"], turn["content"]) for turn in messages["messages"])
    tools = [
        {
            "type": "function",
            "function": {"name": t["name"], "description": t["description"], "parameters": t["input_schema"]},
        }
        for t in messages["tools"]
    ]
    return {"model": MODEL, "max_tokens": 32000, "messages": turns, "tools": tools}


def _chat_turn(role: str, blocks: list[Body]) -> Body:
    if role == "assistant":
        said, use = blocks
        function = {"name": use["name"], "arguments": json.dumps(use["input"])}
        call = {"id": use["id"], "type": "function", "function": function}
        return {"role": role, "content": said["text"], "tool_calls": [call]}
    block = blocks[0]
    if block["type"] == "tool_result":
        return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"][0]["text"]}
    return {"role": role, "content": block["text"]}


def agent_responses(messages: Body) -> Body:
    """The same as Responses has it: calls and their results are items of their own."""
    items: list[Body] = []
    for turn in messages["messages"]:
        for block in turn["content"]:
            items.append(_responses_item(turn["role"], block))  # noqa: PERF401  # two loops
    tools = [
        {"type": "function", "name": t["name"], "description": t["description"], "parameters": t["input_schema"]}
        for t in messages["tools"]
    ]
    instructions = "\n".join(block["text"] for block in messages["system"])
    return {
        "model": MODEL,
        "max_output_tokens": 32000,
        "instructions": instructions,
        "input": items,
        "tools": tools,
        "store": False,
    }


def _responses_item(role: str, block: Body) -> Body:
    match block["type"]:
        case "tool_use":
            arguments = json.dumps(block["input"])
            return {"type": "function_call", "call_id": block["id"], "name": block["name"], "arguments": arguments}
        case "tool_result":
            text = block["content"][0]["text"]
            return {"type": "function_call_output", "call_id": block["tool_use_id"], "output": text}
    kind = "output_text" if role == "assistant" else "input_text"
    return {"role": role, "content": [{"type": kind, "text": block["text"]}]}


def agent_gemini(messages: Body) -> Body:
    """The same as Gemini has it: schemas as JSON Schema, calls and results as parts."""
    names = {
        block["id"]: block["name"]
        for turn in messages["messages"]
        for block in turn["content"]
        if block["type"] == "tool_use"
    }
    contents = [
        {
            "role": "model" if turn["role"] == "assistant" else "user",
            "parts": [_gemini_part(block, names) for block in turn["content"]],
        }
        for turn in messages["messages"]
    ]
    functions = [
        {"name": t["name"], "description": t["description"], "parametersJsonSchema": t["input_schema"]}
        for t in messages["tools"]
    ]
    return {
        "systemInstruction": {"parts": [{"text": block["text"]} for block in messages["system"]]},
        "contents": contents,
        "tools": [{"functionDeclarations": functions}],
        "generationConfig": {"maxOutputTokens": 32000},
    }


def _gemini_part(block: Body, names: dict[str, str]) -> Body:
    match block["type"]:
        case "tool_use":
            return {"functionCall": {"id": block["id"], "name": block["name"], "args": block["input"]}}
        case "tool_result":
            called = block["tool_use_id"]
            response = {"output": block["content"][0]["text"]}
            return {"functionResponse": {"id": called, "name": names[called], "response": response}}
    return {"text": block["text"]}


SHAPES = {"burst": (200, 0), "paced": (200, 10_000), "slow": (1_000_000, 50_000), "idle": (1_000_000, 60_000_000)}
"""Streams: chunks, and microseconds between them."""


def write_bodies(directory: Path) -> None:
    """Writes every body as `directory/NAME.json`. Those called claude are for a target that speaks Messages."""
    writer = Writer(seed=1)
    agent = writer.agent_messages()
    chat, claude = agent_chat(agent), {"model": "claude"}
    bodies = {
        "chat-2k": writer.small_chat(),
        "messages-2k": writer.small_messages(),
        "responses-2k": writer.small_responses(),
        "gemini-2k": writer.small_gemini(),
        "claude-2k": writer.small_chat() | claude,
        "chat-157k": chat,
        "messages-157k": agent,
        "responses-157k": agent_responses(agent),
        "gemini-157k": agent_gemini(agent),
        "claude-157k": chat | claude,
    }
    for shape, (chunks, spacing_us) in SHAPES.items():
        script = f" [script chunks={chunks} spacing_us={spacing_us}]"
        usage = {"stream": True, "stream_options": {"include_usage": True}}
        bodies[f"chat-{shape}"] = writer.small_chat(script) | usage
        bodies[f"claude-{shape}"] = writer.small_chat(script) | usage | claude
        bodies[f"messages-{shape}"] = writer.small_messages(script) | {"stream": True}
        bodies[f"responses-{shape}"] = writer.small_responses(script) | {"stream": True}
        bodies[f"gemini-{shape}"] = writer.small_gemini(script)
    directory.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        (directory / f"{name}.json").write_text(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
