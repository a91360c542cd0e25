"""Where in a stream the model has begun to speak: the first event that carries something it made.

What stands before (a role, an id, an empty text, a ping) comes at once, however long the model then takes. Told from
the bytes, by members that cannot stand inside a text, where every quote is escaped. Thoughts and calls of tools count:
they are tokens, too.
"""

import re
from collections.abc import Callable

__all__ = ["Onset"]

_FIRST = {
    "chat": re.compile(
        rb'"(?:content|reasoning_content|reasoning|thinking|refusal|text|arguments|name|delta|b64_json)"\s*:\s*"[^"]'
        rb'|"(?:audio|reasoning_details)"\s*:\s*(?:[\[{]\s*[^\s\]}]|"[^"])'
    ),
    "messages": re.compile(rb'"type"\s*:\s*"(?:content_block_delta|redacted_thinking|tool_use|server_tool_use)"'),
    "responses": re.compile(
        rb'"type"\s*:\s*"(?:response\.[a-z_.]+\.delta|[a-z_]+_call|response\.image_generation_call\.partial_image)"'
    ),
    "gemini": re.compile(rb'"text"\s*:\s*"[^"]|"(?:functionCall|function_call|inlineData|executableCode)"\s*:\s*\{'),
}
_SPLIT = 64
"""Bytes that are looked at again with the next piece: an event may come in two."""


class Onset:
    """Watches one stream until it has begun.

    Attributes:
        at: when it had, by ``clock``; None until then.
    """

    __slots__ = ("_clock", "_first", "_tail", "at")

    def __init__(self, dialect: str, clock: Callable[[], float]) -> None:
        self._first = _FIRST[dialect]
        self._clock = clock
        self._tail = b""
        self.at: float | None = None

    def feed(self, data: bytes) -> bool:
        """The next bytes of the stream; whether it has begun, so that no more need be shown."""
        seen = self._tail + data
        if self._first.search(seen) is None:
            self._tail = seen[-_SPLIT:]
            return False
        self.at = self._clock()
        self._tail = b""
        return True
