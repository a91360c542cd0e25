"""All dialects by name."""

from asgi_llm.neutral.request import DialectName

from .chat import CHAT
from .gemini import GEMINI, GEMINI_ARRAY
from .interface import Dialect
from .messages import MESSAGES
from .responses import RESPONSES

__all__ = ["ARRAYS", "DIALECTS"]

DIALECTS: dict[DialectName, Dialect] = {dialect.name: dialect for dialect in (CHAT, MESSAGES, RESPONSES, GEMINI)}

ARRAYS: dict[DialectName, Dialect] = {GEMINI_ARRAY.name: GEMINI_ARRAY}
"""Dialects that stream one JSON array to callers who do not ask for events."""
