"""The ladder of an item of a tool that is run for the caller: added, its progress, done.

OpenAI Responses API reference, "Streaming events": ``response.mcp_call.*``, ``response.mcp_call_arguments.*``,
``response.mcp_list_tools.*``, ``response.web_search_call.*``.
"""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.neutral.request import ServerCall

from .blocks import Ladder
from .wire import encode

__all__ = ["HostedBlock"]

_NAMES = {"mcp": "mcp_call", "mcp_list_tools": "mcp_list_tools", "web_search": "web_search_call"}


class _End(Struct):
    status: str | None = None
    error: Raw = Raw(b"null")

    @property
    def failed(self) -> bool:
        return self.status == "failed" or bytes(self.error) != b"null"


class HostedBlock:
    """One item, from ``ServerCall`` to ``ServerResult``."""

    __slots__ = ("_ladder", "_name", "_place", "_raw", "id")

    def __init__(self, ladder: Ladder, call: ServerCall, raw: Raw) -> None:
        self.id = call.id or ""
        self._ladder = ladder
        self._raw = raw
        self._name = _NAMES.get(call.kind)
        index = ladder.add(raw)
        self._place = b'"item_id":%b,"output_index":%d' % (encode(self.id), index)
        if self._name is None:
            return
        self._tell("in_progress")
        if self._name == "web_search_call":
            self._tell("searching")
        elif self._name == "mcp_call":
            arguments = encode(call.arguments)
            ladder.event("response.mcp_call_arguments.delta", self._place + b',"delta":' + arguments)
            ladder.event("response.mcp_call_arguments.done", self._place + b',"arguments":' + arguments)

    def close(self, raw: Raw | None) -> None:
        """``raw`` is the item as it is in the end; None where nobody knows."""
        if self._name is not None and raw is not None:
            failed = msgspec.json.decode(raw, type=_End).failed
            # A search that found nothing has no event of its own.
            self._tell("failed" if failed and self._name != "web_search_call" else "completed")
        self._ladder.finish(self._raw if raw is None else raw)

    def _tell(self, progress: str) -> None:
        self._ladder.event(f"response.{self._name}.{progress}", self._place)
