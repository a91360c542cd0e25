"""The response object as the API has it, where a server that speaks the API leaves some of it out.

Open Responses, "ResponseResource": typed clients demand all of its members. What is absent is what was asked, or the
API's default.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from asgi_llm.dialects.spans import AmbiguousError, members

__all__ = ["Shape"]

_ASKED: dict[str, bytes] = {
    "instructions": b"null",
    "max_output_tokens": b"null",
    "max_tool_calls": b"null",
    "tools": b"[]",
    "tool_choice": b'"auto"',
    "parallel_tool_calls": b"true",
    "text": b'{"format":{"type":"text"}}',
    "reasoning": b'{"effort":null,"summary":null}',
    "temperature": b"1.0",
    "top_p": b"1.0",
    "top_logprobs": b"0",
    "truncation": b'"disabled"',
    "metadata": b"{}",
    "safety_identifier": b"null",
    "prompt_cache_key": b"null",
    "service_tier": b'"default"',
    "user": b"null",
}
"""What echoes the request, with the default of each."""
_SAID: dict[str, bytes] = {
    "object": b'"response"',
    "error": b"null",
    "incomplete_details": b"null",
    "usage": b"null",
    "presence_penalty": b"0.0",
    "frequency_penalty": b"0.0",
    "background": b"false",
    "previous_response_id": b"null",
}
_MEMBERS = _ASKED.keys() | _SAID.keys() | {"created_at", "completed_at"}
_body = msgspec.json.Decoder(dict[str, Raw])


class Shape:
    """Knows what the answers to one request have to say. ``created`` is seconds since the epoch."""

    __slots__ = ("_asked", "_body", "_created")

    def __init__(self, body: bytes, created: float) -> None:
        self._body = body
        self._created = b"%d" % created
        self._asked: Mapping[str, Raw] | None = None

    def lacking(self, response: bytes, now: float) -> dict[str, bytes]:
        """The members that ``response`` lacks, as encoded JSON."""
        try:
            found = members(response)
        except AmbiguousError:
            return {}
        absent = _MEMBERS - found.keys()
        if not absent:
            return {}
        status = found.get("status")
        done = status is not None and response[status.value : status.end] == b'"completed"'
        times = {"created_at": self._created, "completed_at": b"%d" % now if done else b"null"}
        return {name: times.get(name) or _SAID.get(name) or self._echo(name) for name in absent}

    def _echo(self, name: str) -> bytes:
        if self._asked is None:
            try:
                self._asked = _body.decode(self._body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._asked = {}
        said = bytes(self._asked.get(name, b"null"))
        return said if said != b"null" else _ASKED[name]
