"""What tests say to either end and hear from it, whatever the dialect."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_llm.testing import Call, Tokens

__all__ = ["ADD", "WEATHER", "Failed", "Picture", "Result", "Said", "Turn", "compact"]


@dataclass(frozen=True)
class Picture:
    """``data`` is base64 of a PNG; without it the picture is at ``url``."""

    data: str = ""
    url: str = ""


@dataclass(frozen=True)
class Result:
    """What the caller's tool answered to the call ``id``."""

    id: str
    parts: Sequence[str | Picture]
    error: bool = False


@dataclass
class Said:
    """An answer as the user of an SDK reads it. ``message`` is what the user sends back in the next turn."""

    text: str = ""
    thoughts: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    usage: Tokens | None = None
    message: Any = None
    model: str = ""


Turn = str | Sequence[str | Picture | Result] | Said
"""The user's text or parts, the results of tools, or an answer sent back."""


@dataclass(frozen=True)
class Failed:
    """An exception of an SDK: its class's name, the status, the message, when to come back."""

    name: str
    status: int
    message: str
    retry_after: str | None


ADD = {
    "name": "add",
    "description": "Adds two numbers.",
    "schema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
