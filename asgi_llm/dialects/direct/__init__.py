"""Plain text conversations, translated from one dialect's bytes to another's without the way through neutral.

A short cut and nothing else: whatever is said here is said by the dialects themselves as well, and tests hold the two
equal. It is taken by conversations of nothing but text, which most small applications send, and declines all others.
"""

from collections.abc import Mapping

from asgi_llm.neutral.request import DialectName

from .messages_chat import MESSAGES_CHAT
from .pair import Pair

__all__ = ["DIRECT", "Pair"]

DIRECT: Mapping[tuple[DialectName, DialectName], Pair] = {("messages", "chat"): MESSAGES_CHAT}
"""By the caller's and the upstream's dialect."""
