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
            "tools": [self._tool(number) for number in range(20)],
            "messages": turns,
        }

    def _tool(self, number: int) -> Body:
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


def write_bodies(directory: Path) -> None:
    """Writes every body as `directory/NAME.json`."""
    writer = Writer(seed=1)
    agent = writer.agent_messages()
    bodies = {
        "chat-2k": writer.small_chat(),
        "messages-2k": writer.small_messages(),
        "chat-157k": agent_chat(agent),
        "messages-157k": agent,
    }
    for shape, (chunks, spacing_us) in {"burst": (200, 0), "paced": (200, 10_000), "slow": (1_000_000, 50_000)}.items():
        script = f" [script chunks={chunks} spacing_us={spacing_us}]"
        usage = {"stream": True, "stream_options": {"include_usage": True}}
        bodies[f"chat-{shape}"] = writer.small_chat(script) | usage
        bodies[f"messages-{shape}"] = writer.small_messages(script) | {"stream": True}
    directory.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        (directory / f"{name}.json").write_text(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
