"""All dialects by name."""

from asgi_llm.neutral.request import DialectName

from .chat import CHAT
from .interface import Dialect
from .messages import MESSAGES
from .responses import RESPONSES

__all__ = ["DIALECTS"]

DIALECTS: dict[DialectName, Dialect] = {dialect.name: dialect for dialect in (CHAT, MESSAGES, RESPONSES)}
