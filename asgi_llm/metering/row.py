"""A row of the ledger: all that is kept of one request. What was said in it is not among that."""

from typing import Any

from msgspec import Struct, structs

__all__ = ["COUNTS", "LARGEST", "Row", "plain"]

LARGEST = 2**53 - 1
"""Larger numbers are nobody's honest count, and no database's."""


class Row(Struct, frozen=True, kw_only=True):
    """One settled request. Written once, never changed; a second row with the same ``id`` is the same row.

    What is not known is None, which is not zero. ``at`` is when it came, in milliseconds since the epoch. ``model`` is
    the caller's name of the model, ``served`` the name it has at ``target``. ``attempts`` counts the requests to
    workers. Tokens are counted as in ``neutral.usage``. ``cost`` (what it cost), ``market`` (what anybody would have
    paid) and ``reported`` (what the provider said) are microdollars; ``cost_source`` says where ``cost`` is from.

    ``flags``: ``no_usage`` (an answer that did not say what it used), ``partial_usage`` (it broke off, and may have
    used more), ``bad_usage`` (its parts do not make its total), ``absurd_usage`` (numbers that cannot be were left
    out), ``cost_mismatch`` (the provider reported another cost than its prices make), ``cached`` (the answer had been
    given before, and nothing was used), ``other_attempts`` (part of it was used by attempts that did not give the
    answer).

    ``tools_offered`` and ``tools_used`` are labels like ``function:name`` or ``web_search``, where that was looked at.
    """

    id: str
    at: int
    tenant: str
    subject: str
    key_id: str | None = None
    endpoint: str
    dialect: str
    upstream_dialect: str | None = None
    mode: str | None = None
    stream: bool = False
    model: str | None = None
    served: str | None = None
    target: str | None = None
    worker: str | None = None
    attempts: int = 0
    status: int = 0
    outcome: str
    error: str | None = None
    finish: str | None = None
    fresh: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    visible: int | None = None
    reasoning: int | None = None
    tool_prompt: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    server_tools: dict[str, int] | None = None
    estimated: bool = False
    cost: int | None = None
    cost_source: str | None = None
    market: int | None = None
    reported: int | None = None
    flags: tuple[str, ...] = ()
    first_byte_ms: int | None = None
    total_ms: int = 0
    tools_offered: tuple[str, ...] | None = None
    tools_used: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def input(self) -> int:
        """All input, in tokens."""
        return sum(getattr(self, name) or 0 for name in _INPUT)

    @property
    def output(self) -> int:
        """All output, in tokens."""
        return (self.visible or 0) + (self.reasoning or 0)

    def told(self) -> dict[str, Any]:
        """For people and programs: its fields, and the sums of its tokens."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return fields | {"input": self.input, "output": self.output}


_INPUT = ("fresh", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h", "tool_prompt")
COUNTS = (*_INPUT, "visible", "reasoning", "audio_in", "audio_out")
"""The fields that count tokens."""

_LONGEST, _MOST = 500, 128
"""Characters of a text, and texts of one kind, that are kept."""


def plain(row: Row) -> Row:
    """``row`` without what some databases refuse in a text: NUL, and halves of surrogate pairs. Callers and upstreams
    say what they like, at any length, and what they say must not cost the row."""
    odd: dict[str, Any] = {}
    for name, value in zip(row.__struct_fields__, structs.astuple(row), strict=True):
        cleaned = _plain(value)
        if cleaned is not value:
            odd[name] = cleaned
    return structs.replace(row, **odd) if odd else row


def _plain(value: Any) -> Any:
    """The same object, where nothing is wrong with it."""
    match value:
        case str() if len(value) > _LONGEST or "\0" in value or not value.isascii():
            cleaned = value[:_LONGEST].replace("\0", "").encode("utf-8", "replace").decode()
            return value if cleaned == value else cleaned
        case tuple() if value:
            texts = tuple(_plain(text) for text in value[:_MOST])
            return value if texts == value else texts
        case dict():
            named = {_plain(name): count for name, count in list(value.items())[:_MOST]}
            return value if named == value else named
    return value
