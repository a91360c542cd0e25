"""What each family of Claude models takes: a catalogue by name, as data.

Source: Anthropic's model overview and the pages on extended thinking, effort, structured outputs and tool choice.
A name nobody knows (an open engine or another vendor behind the Messages API) gets ``PERMISSIVE``; a Claude model
newer than this table gets ``NEWEST``.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

__all__ = ["NEWEST", "PERMISSIVE", "Capabilities", "capabilities"]

_EFFORTS_4_6 = ("low", "medium", "high", "max")
_EFFORTS_ALL = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model takes.

    Attributes:
        known: a Claude model, so that first-party fields may be sent.
        adaptive: ``thinking.type`` adaptive.
        budget: ``thinking.type`` enabled with ``budget_tokens``.
        disable: ``thinking.type`` disabled.
        between_tools: ``thinking.type`` between_tools.
        forced_tools: tool choice any or tool: always, never, or only while thinking has no budget.
        sampling: temperature, top_p and top_k.
        temperature_with_top_p: both in one request.
        efforts: values of ``output_config.effort``, ascending; empty where the field is unknown.
        prefill: the last message may be the assistant's.
        structured: ``output_config.format``.
        system_turns: role system inside ``messages``.
        max_output: the output limit in tokens, or None where it is not known.
        thought_first: with a budget, the assistant's message of a running tool loop must begin with its thoughts.
    """

    known: bool = True
    adaptive: bool = False
    budget: bool = False
    disable: bool = False
    between_tools: bool = False
    forced_tools: Literal["always", "without_budget", "never"] = "without_budget"
    sampling: bool = False
    temperature_with_top_p: bool = False
    efforts: tuple[str, ...] = ()
    prefill: bool = False
    structured: bool = True
    system_turns: bool = False
    max_output: int | None = 128_000
    thought_first: bool = False


PERMISSIVE = Capabilities(
    known=False,
    budget=True,
    disable=True,
    forced_tools="always",
    sampling=True,
    temperature_with_top_p=True,
    prefill=True,
    structured=False,
    max_output=None,
)

_OPUS_5_5 = Capabilities(adaptive=True, forced_tools="never", efforts=_EFFORTS_ALL, system_turns=True)
_SONNET_5_5 = Capabilities(adaptive=True, between_tools=True, forced_tools="never", efforts=_EFFORTS_ALL)
_HAIKU_5_5 = Capabilities(adaptive=True, disable=True, forced_tools="always", efforts=_EFFORTS_ALL)
_OPUS_5 = Capabilities(adaptive=True, budget=True, disable=True, efforts=_EFFORTS_ALL, system_turns=True)
_FABLE_5 = Capabilities(adaptive=True, forced_tools="always", efforts=_EFFORTS_ALL)
_FABLE_5_X = replace(_FABLE_5, forced_tools="never")
_4_7 = Capabilities(adaptive=True, budget=True, disable=True, efforts=_EFFORTS_ALL)
_4_8 = replace(_4_7, system_turns=True)
_4_6 = Capabilities(adaptive=True, budget=True, disable=True, sampling=True, efforts=_EFFORTS_4_6)
_4_5 = Capabilities(budget=True, disable=True, sampling=True, prefill=True, max_output=64_000, thought_first=True)
_OPUS_4_5 = replace(_4_5, efforts=("low", "medium", "high"))
_OPUS_4_1 = replace(_4_5, max_output=32_000)
_OPUS_4 = replace(_OPUS_4_1, structured=False, temperature_with_top_p=True)
_SONNET_4 = replace(_4_5, structured=False, temperature_with_top_p=True)
_3_5 = replace(_SONNET_4, budget=False, max_output=8_192)
_3 = replace(_3_5, max_output=4_096)

NEWEST = replace(_HAIKU_5_5, forced_tools="without_budget")
"""What is safe to assume of a Claude model that this table does not name yet."""

_FAMILIES: tuple[tuple[str, Capabilities], ...] = (
    # The first pattern that begins the name (less its prefixes, dots as dashes) decides; longer names come first.
    (r"opus-5-5", _OPUS_5_5),
    (r"sonnet-5-5", _SONNET_5_5),
    (r"haiku-5-5", _HAIKU_5_5),
    (r"opus-5", _OPUS_5),
    (r"(fable|mythos)-5-[1-9]", _FABLE_5_X),
    (r"(fable|mythos)-preview", _FABLE_5_X),
    (r"(fable|mythos)", _FABLE_5),
    (r"opus-4-8", _4_8),
    (r"opus-4-7|sonnet-5", _4_7),
    (r"(opus|sonnet)-4-6", _4_6),
    (r"opus-4-5", _OPUS_4_5),
    (r"(sonnet|haiku)-4-5", _4_5),
    (r"opus-4-1", _OPUS_4_1),
    (r"opus-4|4-opus", _OPUS_4),
    (r"sonnet-4|4-sonnet|3-7-sonnet|sonnet-3-7", _SONNET_4),
    (r"3-5|(sonnet|haiku)-3-5", _3_5),
    (r"3|(opus|sonnet|haiku)-3|2|instant", _3),
)
# A version number ends where a digit does not follow, unless that digit begins a date (eight digits).
_PATTERNS = tuple((re.compile(rf"(?:{names})(?!\d)"), known) for names, known in _FAMILIES)
_CLAUDE = re.compile(r"(?:^|[/.@:])claude-(.+)$")


@lru_cache(maxsize=512)
def capabilities(model: str) -> Capabilities:
    """What ``model`` takes. Dates, prefixes such as ``anthropic/`` and dots for dashes make no difference."""
    found = _CLAUDE.search(model.lower())
    if found is None:
        return PERMISSIVE
    name = found.group(1).replace(".", "-")
    for pattern, known in _PATTERNS:
        if pattern.match(name):
            return known
    return NEWEST
