"""The events of a Messages stream as typed structs. ``EVENT`` decodes one; events of later versions it refuses.

Spec: Anthropic Messages API, "Streaming messages".
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .raws import NULL
from .stops import Container, StopDetails

__all__ = [
    "EVENT",
    "WireBlockDelta",
    "WireBlockStart",
    "WireBlockStop",
    "WireCitation",
    "WireError",
    "WireEvent",
    "WireInput",
    "WireMessage",
    "WireMessageDelta",
    "WireMessageStart",
    "WireMessageStop",
    "WirePing",
    "WireSignature",
    "WireStop",
    "WireText",
    "WireThinking",
]


class _Delta(Struct, tag_field="type"):
    pass


class WireText(_Delta, tag="text_delta"):
    text: str


class WireInput(_Delta, tag="input_json_delta"):
    partial_json: str


class WireThinking(_Delta, tag="thinking_delta"):
    thinking: str


class WireSignature(_Delta, tag="signature_delta"):
    signature: str


class WireCitation(_Delta, tag="citations_delta"):
    citation: Raw


class WireEvent(Struct, tag_field="type"):
    pass


class WireMessage(Struct):
    id: Any = None
    model: Any = None
    usage: Raw = NULL


class WireMessageStart(WireEvent, tag="message_start"):
    message: WireMessage


class WireBlockStart(WireEvent, tag="content_block_start"):
    content_block: Raw
    index: int = 0


class WireBlockDelta(WireEvent, tag="content_block_delta"):
    delta: WireText | WireInput | WireThinking | WireSignature | WireCitation
    index: int = 0


class WireBlockStop(WireEvent, tag="content_block_stop"):
    index: int = 0


class WireStop(Struct):
    stop_reason: Any = None
    stop_sequence: Any = None
    stop_details: StopDetails | None = None
    container: Container | None = None


class WireMessageDelta(WireEvent, tag="message_delta"):
    delta: WireStop | None = None
    usage: Raw = NULL


class WireMessageStop(WireEvent, tag="message_stop"):
    pass


class WirePing(WireEvent, tag="ping"):
    pass


class WireError(WireEvent, tag="error"):
    pass


EVENT = msgspec.json.Decoder(
    WireMessageStart
    | WireBlockStart
    | WireBlockDelta
    | WireBlockStop
    | WireMessageDelta
    | WireMessageStop
    | WirePing
    | WireError
)
