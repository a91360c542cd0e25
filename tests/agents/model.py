"""The model behind the gateway: says its next line in any dialect, stumbles where the play wants it to.

Which line is next is read from the conversation that it is sent, never from a counter, so that agents may ask again
as often as they like: it is the first one that has not been said, or whose calls have not all been answered.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from strict import Dialect, results

from asgi_llm.testing import (
    Answer,
    Call,
    Recorded,
    Reset,
    chat_completion,
    chat_error,
    chat_events,
    gemini_error,
    gemini_events,
    gemini_response,
    messages_error,
    messages_events,
    messages_message,
    responses_error,
    responses_events,
    responses_response,
)

__all__ = ["CALL_IDS", "SIDE", "Line", "Model", "Stumble"]

Stumble = Literal["overloaded", "limited", "full", "cut", "ended"]
"""529 or 503; 429 with ``retry-after``; the conversation is too long; a stream reset in its middle; one that ends there
in good order."""

SIDE = "A short title"
"""What the model answers to requests that offer no tools: titles and the like, not the play."""

CALL_IDS = {"chat": "call_{}_{}", "messages": "toolu_{}_{}", "responses": "call_{}_{}", "gemini": "call_{}_{}"}


@dataclass(frozen=True)
class Line:
    """What the model says in one turn. ``calls`` are names and arguments (JSON text) of tools."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    reasoning: str = ""


@dataclass(frozen=True)
class _Voice:
    events: Callable[..., list[Any]]
    whole: Callable[..., dict[str, Any]]
    error: Callable[..., Answer]


_HISTORY: dict[Dialect, str] = {
    "chat": "messages",
    "messages": "messages",
    "responses": "input",
    "gemini": "contents",
}
_VOICES: dict[Dialect, _Voice] = {
    "chat": _Voice(chat_events, chat_completion, chat_error),
    "messages": _Voice(messages_events, messages_message, messages_error),
    "responses": _Voice(responses_events, responses_response, responses_error),
    "gemini": _Voice(gemini_events, gemini_response, gemini_error),
}


_COUNTING = ("/count_tokens", "/input_tokens", ":countTokens")
_FULL = {"code": "context_length_exceeded"}
_FAILURES: dict[Stumble, dict[Dialect, tuple[int, str, str, dict[str, Any]]]] = {
    "overloaded": {
        "chat": (503, "server_error", "The server is overloaded.", {}),
        "responses": (503, "server_error", "The server is overloaded.", {}),
        "messages": (529, "overloaded_error", "Overloaded", {}),
        "gemini": (503, "UNAVAILABLE", "The model is overloaded.", {}),
    },
    "limited": {
        "chat": (429, "rate_limit_exceeded", "Slow down.", {}),
        "responses": (429, "rate_limit_exceeded", "Slow down.", {}),
        "messages": (429, "rate_limit_error", "Slow down.", {}),
        "gemini": (429, "RESOURCE_EXHAUSTED", "Slow down.", {}),
    },
    "full": {
        "chat": (400, "invalid_request_error", "The maximum context length is 8192 tokens.", _FULL),
        "responses": (400, "invalid_request_error", "The maximum context length is 8192 tokens.", _FULL),
        "messages": (400, "invalid_request_error", "prompt is too long: 9000 tokens > 8192 maximum", {}),
        "gemini": (400, "INVALID_ARGUMENT", "The input token count (9000) exceeds the maximum of 8192 tokens.", {}),
    },
}
"""Status, kind and message, and what else the error says."""


@dataclass
class Model:
    """A script for ``ScriptedUpstream``. ``stumbles`` are by the number of the request, counted from 1, among those
    that belong to the play; ``always`` is for every one after them. ``ids``: results come back under the ids of their
    calls; otherwise they are counted."""

    dialect: Dialect
    lines: Sequence[Line]
    stumbles: Mapping[int, Stumble] = field(default_factory=dict)
    always: Stumble | None = None
    ids: bool = True
    played: list[Recorded] = field(default_factory=list)
    aside: list[Recorded] = field(default_factory=list)

    def __call__(self, request: Recorded) -> Answer:
        if request.path.partition("?")[0].endswith(_COUNTING):
            return _VOICES[self.dialect].error(404, "There is no such path.")  # the gateway estimates
        body = request.json
        if not body.get("tools"):
            self.aside.append(request)
            return self._say(request, Line(SIDE), 0)
        self.played.append(request)
        number = self._next(body)
        stumble = self.stumbles.get(len(self.played), self.always)
        return self._say(request, self.lines[number], number, stumble)

    def _next(self, body: dict[str, Any]) -> int:
        found = [id_ for id_, _ in results(body, self.dialect)]
        answered = set(found) if self.ids else self._first(len(found))
        said = json.dumps(body[_HISTORY[self.dialect]])
        for number, line in enumerate(self.lines):
            if not (self._ids(number) <= answered if line.calls else json.dumps(line.text)[1:-1] in said):
                return number
        return len(self.lines) - 1

    def _first(self, count: int) -> set[str]:
        return set([id_ for number in range(len(self.lines)) for id_ in sorted(self._ids(number))][:count])

    def _ids(self, number: int) -> set[str]:
        return {CALL_IDS[self.dialect].format(number, place) for place in range(len(self.lines[number].calls))}

    def _say(self, request: Recorded, line: Line, number: int, stumble: Stumble | None = None) -> Answer:
        voice, body = _VOICES[self.dialect], request.json
        if stumble in ("overloaded", "limited", "full"):
            return self._fail(stumble)
        ids = CALL_IDS[self.dialect]
        calls = [Call(name, said, ids.format(number, place)) for place, (name, said) in enumerate(line.calls)]
        # Every answer has an id of its own: Claude Code takes a known one for an answer that it has already had.
        id_ = f"msg_{len(self.played)}_{len(self.aside)}"
        told: dict[str, Any] = {"calls": calls, "reasoning": line.reasoning, "model": "some-model", "id": id_}
        pieces = [line.text[start : start + 5] for start in range(0, len(line.text), 5)]
        if not body.get("stream") and ":streamGenerateContent" not in request.path:
            return Answer.json(voice.whole(line.text, **told), truncated=stumble is not None)
        if stumble is None:
            return Answer.sse(voice.events(pieces, **told))
        events = voice.events(pieces, **told)
        half = events[: len(events) // 2]
        return Answer.sse([*half, Reset()] if stumble == "cut" else half)

    def _fail(self, stumble: Stumble) -> Answer:
        status, kind, message, more = _FAILURES[stumble][self.dialect]
        headers = {"retry-after": "1"} if stumble == "limited" else {}
        return _VOICES[self.dialect].error(status, message, kind=kind, headers=headers, **more)
