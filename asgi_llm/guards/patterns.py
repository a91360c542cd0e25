"""Guards that look for something in all texts: given patterns, or personal data."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from asgi_llm.hooks import Ask, Hook
from asgi_llm.neutral.events import Event
from asgi_llm.neutral.response import Response
from asgi_llm.settings import PatternGuardSettings, PatternSettings, PersonalGuardSettings

from .finding import Find, Finding, Forbidden, edit_values, redact
from .guard import Guard
from .screen import Screen
from .texts import edit_request, edit_response

__all__ = ["AnswerTextGuard", "RequestTextGuard", "pattern_finder", "text_guard"]


def text_guard(settings: PatternGuardSettings | PersonalGuardSettings, find: Find) -> Hook:
    """One that looks at requests, answers or both; streams are written anew only where it looks at answers."""
    if settings.requests and settings.answers:
        return BothTextGuard(settings, find)
    return (AnswerTextGuard if settings.answers else RequestTextGuard)(settings, find)


def pattern_finder(rules: Sequence[PatternSettings]) -> Find:
    compiled: list[tuple[re.Pattern[str], str | None]] = [
        (re.compile(rule.pattern, re.IGNORECASE if rule.ignore_case else 0), _replacement(rule)) for rule in rules
    ]

    def find(text: str) -> list[Finding]:
        found = [
            Finding(match.start(), match.end(), replacement)
            for pattern, replacement in compiled
            for match in pattern.finditer(text)
            if match.end() > match.start()
        ]
        if len(found) > 1:
            found.sort(key=_start)
        return found

    return find


def _replacement(rule: PatternSettings) -> str | None:
    return rule.replacement if rule.action == "redact" else None


def _start(finding: Finding) -> int:
    return finding.start


class _TextGuard(Guard):
    def __init__(self, settings: PatternGuardSettings | PersonalGuardSettings, find: Find) -> None:
        super().__init__(settings)
        self._find = find
        self._window = settings.window

    def _edit(self, text: str) -> str:
        return redact(self._find, text)

    def _checked(self, edit: Callable[[], Any]) -> Any:
        try:
            return edit()
        except Forbidden:
            raise self.refused() from None


class RequestTextGuard(_TextGuard):
    """Looks at requests."""

    async def on_request(self, ask: Ask) -> Ask | None:
        if not self.concerns(ask):
            return None
        if ask.request is not None:
            request = ask.request
            told = self._checked(lambda: edit_request(request, self._edit))
            return None if told is request else ask.change(request=told)
        if ask.payload is None:
            return None
        payload = self._checked(lambda: edit_values(ask.payload, self._edit))
        return None if payload is ask.payload else ask.change(payload=payload)


class AnswerTextGuard(_TextGuard):
    """Looks at answers."""

    unseen = "refuse"

    async def on_response(self, ask: Ask, response: Response) -> Response | None:
        if not self.concerns(ask):
            return None
        told: Response = self._checked(lambda: edit_response(response, self._edit))
        return told

    async def on_event(self, ask: Ask, event: Event) -> Sequence[Event] | None:
        if not self.concerns(ask):
            return None
        screen = ask.notes.get(self)
        if screen is None:
            screen = ask.notes[self] = Screen(self._find, self._window)
        told: list[Event] = self._checked(lambda: screen.feed(event))
        return told

    async def on_payload(self, ask: Ask, payload: Any) -> Any:
        return self._checked(lambda: edit_values(payload, self._edit)) if self.concerns(ask) else None


class BothTextGuard(AnswerTextGuard, RequestTextGuard):
    """Looks at both."""
