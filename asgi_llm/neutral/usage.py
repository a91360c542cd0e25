"""Token counts, disjoint: no token is in two fields (but for sound, see there), so that sums and prices need no case
distinction.

``None`` means that nothing was said, which is not zero. Every dialect's arithmetic (what its totals include) is
undone when decoding and redone when encoding.
"""

from typing import Any

from msgspec import Raw, Struct, structs

__all__ = ["Usage", "merge", "plus"]


class Usage(Struct, frozen=True, omit_defaults=True):
    """Counts in tokens; ``cost`` (what it takes) and ``market`` (what it takes from anybody) in micro-dollars, as the
    provider reported them.

    ``audio_in`` and ``audio_out`` are the parts of the others that were sound, so that no sum holds them.

    ``fresh`` is input that was neither read from nor written to a cache. ``cache_write`` is written input whose
    lifetime is unknown; ``cache_write_5m`` and ``cache_write_1h`` where it was told. ``visible`` is output without
    ``reasoning``. ``estimated`` marks counts that nobody reported. ``raw`` is the usage object as it came last.
    ``rounds`` are the calls that it is the sum of, where there were several: each has a price of its own.
    """

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
    cost: int | None = None
    market: int | None = None
    estimated: bool = False
    raw: Raw | None = None
    rounds: "tuple[Usage, ...] | None" = None

    @property
    def says(self) -> bool:
        """Whether it says anything of tokens or money."""
        return any(getattr(self, name) is not None for name in _SAID)

    @property
    def written(self) -> int:
        """All input written to a cache, in tokens."""
        return (self.cache_write or 0) + (self.cache_write_5m or 0) + (self.cache_write_1h or 0)

    @property
    def input(self) -> int:
        """All input, in tokens."""
        return (self.fresh or 0) + (self.cache_read or 0) + self.written + (self.tool_prompt or 0)

    @property
    def output(self) -> int:
        """All output, in tokens."""
        return (self.visible or 0) + (self.reasoning or 0)


_FIELDS = Usage.__struct_fields__
_SAID = tuple(name for name in _FIELDS if name not in ("server_tools", "estimated", "raw", "rounds"))

_SUMMED = (*_SAID, "server_tools")


def merge(earlier: Usage | None, later: Usage | None) -> Usage | None:
    """What is known after a second report: field by field, the later one wins where it said anything.

    Reports within one answer are cumulative totals in every dialect, so they replace and are never added.
    """
    if earlier is None or later is None:
        return later if earlier is None else earlier
    said = {name: value for name in _FIELDS if (value := getattr(later, name)) is not None}
    said["estimated"], said["rounds"] = later.estimated, later.rounds
    return structs.replace(earlier, **said)


def plus(one: Usage | None, other: Usage | None) -> Usage | None:
    """What two calls used together. ``raw`` is the second's: no provider wrote their sum."""
    if one is None or other is None:
        return other if one is None else one
    sums = {name: _sum(getattr(one, name), getattr(other, name)) for name in _SUMMED}
    rounds = (*(one.rounds or (one,)), *(other.rounds or (other,)))
    return Usage(**sums, estimated=one.estimated or other.estimated, raw=other.raw, rounds=rounds)


def _sum(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict):
        return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
    return one + other
