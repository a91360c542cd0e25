"""What a request says about state, read without looking at the rest of it."""

from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError

from .ids import item_id
from .records import KeptItem

__all__ = [
    "CALLS", "Asked", "Glimpse", "check_results", "glance", "input_items", "item_ids", "item_types", "may_refer",
    "new_items", "read_asked",
]  # fmt: skip

CALLS = frozenset({"responses", "responses_input_tokens"})
"""The endpoints whose requests may build upon what is kept."""
_NULL = Raw(b"null")
_TRUNCATIONS = (b"null", b'"auto"', b'"disabled"')


class Asked(Struct):
    """``conversation`` is its id; the wire has that or an object with it."""

    input: Raw = _NULL
    include: Raw = _NULL
    prompt: Raw = _NULL
    metadata: Raw = _NULL
    model: str = ""
    instructions: Raw = _NULL
    truncation: Raw = _NULL
    max_output_tokens: Raw = _NULL
    previous_response_id: str | None = None
    conversation: "str | _Named | None" = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None

    @property
    def conversation_id(self) -> str | None:
        return self.conversation.id if isinstance(self.conversation, _Named) else self.conversation

    @property
    def truncates(self) -> bool:
        return bytes(self.truncation) == b'"auto"'

    @property
    def answer(self) -> int:
        """Tokens that the answer may have, as far as that is said."""
        said = bytes(self.max_output_tokens)
        return int(said) if said.isdigit() and len(said) < 10 else 0

    @property
    def refers(self) -> bool:
        return self.previous_response_id is not None or self.conversation is not None


class Glimpse(Struct):
    """Of what ``Asked`` holds, that which needs state, whatever its type."""

    input: Raw = _NULL
    previous_response_id: object = None
    conversation: object = None
    background: object = None


class _Named(Struct):
    id: str


class _Item(Struct):
    type: str | None = None
    id: str | None = None


class _Loose(Struct):
    type: object = None
    id: object = None


_asked = msgspec.json.Decoder(Asked)
_glimpse = msgspec.json.Decoder(Glimpse)
_items = msgspec.json.Decoder(list[Raw])
_item = msgspec.json.Decoder(_Item)
_text = msgspec.json.Decoder(str)
_loose = msgspec.json.Decoder(_Loose)


def read_asked(body: bytes) -> Asked:
    """
    Raises:
        ClientError: one of these fields has the wrong type, or two of them exclude each other.
    """
    try:
        asked = _asked.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = str(error)
        where = said.partition("`$.")[2].partition("`")[0].partition(".")[0] or None
        raise ClientError(f"{where or 'the body'}: {said.partition(' - at')[0][:200]}", param=where) from None
    if asked.previous_response_id is not None and asked.conversation is not None:
        raise ClientError(
            "previous_response_id and conversation exclude each other", code="mutually_exclusive", param="conversation"
        )
    if bytes(asked.truncation) not in _TRUNCATIONS:
        raise ClientError("truncation: expected auto or disabled", code="invalid_value", param="truncation")
    return asked


def glance(body: bytes) -> Glimpse | None:
    """What it wants of state; None where it is no object, which is told later."""
    try:
        return _glimpse.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def new_items(raw: Raw, path: str, now: float) -> list[KeptItem]:
    """The items of an ``input``, each with an id. A text is a user's message.

    Raises:
        ClientError: it is neither.
    """
    start = bytes(memoryview(raw)[:1])
    try:
        if start == b"n":
            return []
        if start == b'"':
            part = {"type": "input_text", "text": _text.decode(raw)}
            said = {"type": "message", "role": "user", "content": [part]}
            return [KeptItem(item_id("message", now), Raw(msgspec.json.encode(said)))]
        return [_named(item, now) for item in _items.decode(raw)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ClientError(f"{path}: expected a text or a list of items", param=path) from None


def _named(item: Raw, now: float) -> KeptItem:
    read = _item.decode(item)
    # The bytes are the body's: what is kept must not keep all of it alive.
    return KeptItem(read.id or item_id(read.type or "message", now), Raw(bytes(item)))


def input_items(raw: Raw) -> list[bytes]:
    """The items of an ``input``; none where it is a text or something else."""
    try:
        return [bytes(item) for item in _items.decode(raw)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def item_types(raw: Raw) -> list[str]:
    """The types of the items of an ``input``; none where it is a text or something else."""
    return [item.type if isinstance(item.type, str) else "message" for item in _loosely(raw)]


def item_ids(raw: Raw, kind: str | None = None) -> list[str]:
    """The ids of the items of an ``input``, or of those of one type."""
    return [item.id for item in _loosely(raw) if isinstance(item.id, str) and item.id and kind in (None, item.type)]


def may_refer(body: bytes) -> bool:
    """Whether there may be a reference to an item in it: letters may be escaped."""
    return b'"item_reference"' in body or b"\\u00" in body


def _loosely(raw: Raw) -> list[_Loose]:
    """The items that are objects, whatever else is among them, or wrong with them."""
    found = []
    for item in input_items(raw):
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found.append(_loose.decode(item))
    return found


class _Call(Struct):
    type: str | None = None
    call_id: str | None = None


_call = msgspec.json.Decoder(_Call)


def check_results(new: list[KeptItem], earlier: list[KeptItem]) -> None:
    """All of the conversation is known here, and so is whether a result has a call.

    Raises:
        ClientError: one of ``new`` answers a call that nobody made.
    """
    if not any(b"_call_output" in bytes(item.item) for item in new):
        return
    made: set[str | None] = set()
    for place, kept in enumerate((*earlier, *new), -len(earlier)):
        try:
            item = _call.decode(kept.item)
        except msgspec.MsgspecError:
            continue  # whoever is asked says best what is wrong with it
        kind = item.type or ""
        if kind.endswith("_call"):
            made.add(item.call_id)
        elif place >= 0 and kind.endswith("_call_output") and item.call_id is not None and item.call_id not in made:
            raise ClientError(
                f"No tool call found for the output with call_id '{item.call_id[:100]}'.",
                code="tool_call_not_found",
                param=f"input[{place}]",
            )
