"""All dialects by name."""

from asgi_llm.neutral.request import DialectName

from .chat import CHAT
from .gemini import GEMINI, GEMINI_ARRAY, GEMINI_COUNT
from .interface import Dialect
from .messages import MESSAGES, MESSAGES_COUNT
from .responses import RESPONSES, RESPONSES_COUNT

__all__ = ["ARRAYS", "COUNTS", "DIALECTS"]

DIALECTS: dict[DialectName, Dialect] = {dialect.name: dialect for dialect in (CHAT, MESSAGES, RESPONSES, GEMINI)}

ARRAYS: dict[DialectName, Dialect] = {GEMINI_ARRAY.name: GEMINI_ARRAY}
"""Dialects that stream one JSON array to callers who do not ask for events."""

COUNTS: dict[DialectName, Dialect] = {
    dialect.name: dialect for dialect in (MESSAGES_COUNT, RESPONSES_COUNT, GEMINI_COUNT)
}
"""What is spoken at the endpoints that count tokens: the same dialect with other requests and answers."""
