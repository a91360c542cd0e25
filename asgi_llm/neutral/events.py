"""An answer in pieces.

Order: ``Start`` first; then blocks, each ``BlockStart``, its deltas, ``BlockStop``, one block of a candidate open at a
time, numbered 0, 1, 2 in order of opening; ``CarrierSet`` and ``CitationAdd`` inside their block; exactly one of
``Finish`` (one for each candidate) or ``Failure`` at the end; the final ``UsageUpdate`` before ``Finish`` of the last
candidate. ``fold.Grammar`` checks it.
"""

from msgspec import Raw, Struct

from asgi_llm.errors import AsgiLLMError

from .request import Carrier, Citation, DialectName, Part
from .response import Finish
from .usage import Usage

__all__ = [
    "ArgumentsDelta",
    "BlockStart",
    "BlockStop",
    "CarrierSet",
    "CitationAdd",
    "Event",
    "Failure",
    "Finished",
    "MediaDelta",
    "Ping",
    "RawEvent",
    "ReasoningDelta",
    "Start",
    "TextDelta",
    "UsageUpdate",
]


class Start(Struct, frozen=True, tag="start", omit_defaults=True):
    """The answer begins. ``id`` and ``model`` as the upstream gave them (may be empty), ``created`` in seconds."""

    id: str
    model: str
    created: int | None = None
    usage: Usage | None = None
    service_tier: str | None = None


class BlockStart(Struct, frozen=True, tag="block_start", omit_defaults=True):
    """A part begins. ``part`` is its header: a ``Text``, ``Refusal``, ``Reasoning`` or ``ToolCall`` without content
    yet, or a part that arrives whole (``ServerCall``, ``ServerResult``, redacted ``Reasoning``, media, ``Opaque``)."""

    index: int
    part: Part
    candidate: int = 0


class TextDelta(Struct, frozen=True, tag="text_delta", omit_defaults=True):
    """More of a ``Text`` or ``Refusal`` block, or of the transcript of an ``Audio`` block. ``logprobs`` as the dialect
    wrote it."""

    index: int
    text: str
    candidate: int = 0
    logprobs: Raw | None = None


class ArgumentsDelta(Struct, frozen=True, tag="arguments_delta", omit_defaults=True):
    """More of a ``ToolCall``'s (or ``ServerCall``'s) arguments, as text."""

    index: int
    text: str
    candidate: int = 0


class ReasoningDelta(Struct, frozen=True, tag="reasoning_delta", omit_defaults=True):
    """More of a ``Reasoning`` block: raw thought, or (``summary``) of the summary part ``part``."""

    index: int
    text: str
    summary: bool = False
    part: int = 0
    candidate: int = 0


class CarrierSet(Struct, frozen=True, tag="carrier_set", omit_defaults=True):
    """The open block's signature or encrypted content is known."""

    index: int
    carrier: Carrier
    candidate: int = 0


class CitationAdd(Struct, frozen=True, tag="citation_add", omit_defaults=True):
    """A citation of the open text block."""

    index: int
    citation: Citation
    candidate: int = 0


class MediaDelta(Struct, frozen=True, tag="media_delta", omit_defaults=True):
    """More base64 of a media block."""

    index: int
    data: str
    candidate: int = 0


class BlockStop(Struct, frozen=True, tag="block_stop", omit_defaults=True):
    index: int
    candidate: int = 0


class UsageUpdate(Struct, frozen=True, tag="usage_update", omit_defaults=True):
    """Counts as known so far; cumulative, so a later one replaces an earlier one field by field."""

    usage: Usage


class Finished(Struct, frozen=True, tag="finished", omit_defaults=True):
    """A candidate is complete."""

    finish: Finish
    candidate: int = 0


class Failure(Struct, frozen=True, tag="failure", omit_defaults=True):
    """The answer broke off; nothing follows."""

    error: AsgiLLMError


class Ping(Struct, frozen=True, tag="ping", omit_defaults=True):
    """The upstream is alive, nothing else."""


class RawEvent(Struct, frozen=True, tag="raw_event", omit_defaults=True):
    """An event this version does not know, for the dialect it came from."""

    dialect: DialectName
    kind: str
    raw: Raw


Event = (
    Start
    | BlockStart
    | TextDelta
    | ArgumentsDelta
    | ReasoningDelta
    | CarrierSet
    | CitationAdd
    | MediaDelta
    | BlockStop
    | UsageUpdate
    | Finished
    | Failure
    | Ping
    | RawEvent
)
