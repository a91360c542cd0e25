"""Aliases for ASGI messages and JSON values.

The ASGI aliases are loose on purpose: apps typed with stricter definitions would not type-check where
Starlette, FastAPI and Litestar expect their own (equally loose) ones.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["JSON", "ASGIApp", "Headers", "Message", "Receive", "Scope", "Send"]

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]
"""Header pairs as on the wire, names in lower case, order and duplicates kept."""
