"""``contents`` of a caller -> neutral turns.

Calls without an id get one of their place; results find their call by id, else by name and order. Envelopes in the
place of signatures are opened: the thoughts in them stand where they stood. Spec: Gemini API, "Function calling".
"""

from dataclasses import dataclass, field

import msgspec
from msgspec import Raw, Struct, structs

from asgi_llm.dialects.media import is_base64, is_link, is_media_type
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import Carrier, Part, Reasoning, Role, Text, ToolCall, ToolResult, Turn

from .names import minted_id
from .parts import is_own_file, is_plain, media_of, plain_part, raw_part
from .raws import NULL, compact, given, typed
from .signatures import carriers_of, envelope, is_ours
from .spelling import standard_base64
from .wire import RAW_LIST, FunctionCall, FunctionResponse, MediaPart, WirePart

__all__ = ["decode_turns", "texts_of"]


class _Content(Struct):
    role: str | None = None
    parts: Raw = NULL


class _Whole(Struct):
    """The same with its parts, decoded at once."""

    role: str | None = None
    parts: list[WirePart] | None = None


_WHOLES = msgspec.json.Decoder(list[_Whole], strict=False)
_CONTENTS = msgspec.json.Decoder(list[_Content])
_CONTENT = msgspec.json.Decoder(_Content)
_PARTS = msgspec.json.Decoder(list[WirePart], strict=False)
_PART = msgspec.json.Decoder(WirePart, strict=False)
_STRING = msgspec.json.Decoder(str)
_MEMBERS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])

_ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "assistant": "assistant",
    "function": "user",
    "tool": "user",
    "system": "system",
}


def decode_turns(raw: Raw | None) -> tuple[Turn, ...]:
    """The conversation.

    Raises:
        ClientError: there is none, or a part is not what its members say; the error names the field.
    """
    if raw is None:
        raise ClientError("contents: Field required", param="contents")
    reader = _Reader(raw)
    try:
        wholes = [(whole.role, whole.parts or []) for whole in _WHOLES.decode(raw)]
    except msgspec.ValidationError:
        # Not the common shape, or a mistake: looked at piece by piece.
        contents = _contents(raw)
        wholes = [
            (content.role, _wire_parts(content.parts, f"contents[{index}].parts"))
            for index, content in enumerate(contents)
        ]
    if not wholes:
        raise ClientError("contents: must not be empty", param="contents")
    return tuple(reader.turn(role, wires, index) for index, (role, wires) in enumerate(wholes))


def _contents(raw: Raw) -> list[_Content]:
    if bytes(memoryview(raw)[:1]) == b"{":
        return [typed(raw, _CONTENT, "contents")]
    contents: list[_Content] = typed(raw, _CONTENTS, "contents")
    return contents


def texts_of(raw: Raw, path: str) -> list[str]:
    """The texts of a system instruction: a content, a part, a list of parts or a plain text.

    Raises:
        ClientError: it is none of these, or holds anything but text.
    """
    first = bytes(memoryview(raw)[:1])
    if first == b'"':
        return [typed(raw, _STRING, path)]
    where = path
    if first == b"{":
        content: _Content = typed(raw, _CONTENT, path)
        if given(content.parts) is None:
            raw = Raw(b"[%b]" % bytes(raw))
        else:
            raw, where = content.parts, f"{path}.parts"
    texts = []
    for index, part in enumerate(_wire_parts(raw, where)):
        if part.text is None:
            if any((part.inline_data, part.file_data, part.function_call, part.function_response)):
                raise ClientError(f"{where}[{index}]: only text is possible here", param=f"{where}[{index}]")
            continue
        texts.append(part.text)
    return texts


def _wire_parts(raw: Raw, path: str) -> list[WirePart]:
    if given(raw) is None:
        return []
    if bytes(memoryview(raw)[:1]) == b"{":
        return [typed(raw, _PART, path)]
    parts: list[WirePart] = typed(raw, _PARTS, path)
    return parts


@dataclass(slots=True)
class _Open:
    """A call that nothing has answered yet."""

    id: str
    name: str


@dataclass(slots=True)
class _Reader:
    raw: Raw
    """All of the contents."""
    contents: list[_Content] = field(default_factory=list)
    """The same, once the bytes of a part are needed."""
    open: list[_Open] = field(default_factory=list)

    def turn(self, said: str | None, wires: list[WirePart], index: int) -> Turn:
        role = _ROLES.get(said or "user") or _ROLES.get((said or "").lower())
        if role is None:
            path = f"contents[{index}].role"
            raise ClientError(f"{path}: must be user or model", param=path)
        if len(wires) == 1 and wires[0].text and not wires[0].thought and wires[0].thought_signature is None:
            return Turn(role, (Text(wires[0].text),))
        return Turn(role, tuple(part for part in self._parts(wires, index) if part != Text("")))

    def _parts(self, wires: list[WirePart], index: int) -> list[Part]:
        sealed = any(wire.thought_signature and is_ours(wire.thought_signature) for wire in wires)
        parts: list[Part] = []
        step = 0  # where the current step begins: behind the last call
        raws: list[Raw] = []
        for position, wire in enumerate(wires):
            carriers = carriers_of(wire.thought_signature)
            if sealed and wire.thought_signature and is_ours(wire.thought_signature):
                held = envelope(wire.thought_signature)
                parts[step:step] = [kept.thought for kept in held.thoughts if not kept.late]
                parts.extend(kept.thought for kept in held.thoughts if kept.late)
                carriers = held.carriers
            elif sealed and wire.thought and not carriers:
                continue  # stands, whole and with its proof, in an envelope
            if wire.function_call is not None:
                parts.append(self._call(wire.function_call, carriers, index, position))
                step = len(parts)
            elif wire.function_response is not None:
                parts.append(self._result(wire.function_response, f"contents[{index}].parts[{position}]"))
            elif is_plain(wire):
                _check(wire, f"contents[{index}].parts[{position}]")
                parts.append(_carrying(plain_part(wire), carriers))
            else:
                self.contents = self.contents or _contents(self.raw)
                raws = raws or _raw_list(self.contents[index].parts)
                if (part := raw_part(raws[position])) is not None:
                    parts.append(part)
        return parts

    def _call(self, call: FunctionCall, carriers: tuple[Carrier, ...], turn: int, position: int) -> ToolCall:
        call_id = call.id or minted_id(turn, position, call.name)
        self.open.append(_Open(call_id, call.name))
        arguments = "" if given(call.args) is None else compact(call.args)
        return ToolCall(call_id, call.name, arguments, carriers=carriers)

    def _result(self, result: FunctionResponse, path: str) -> ToolResult:
        call = self._answered(result)
        parts, is_error = _outcome(result.response, f"{path}.functionResponse.response")
        for place, part in enumerate(result.parts or ()):
            if part.inline_data or part.file_data:
                _check(part, f"{path}.functionResponse.parts[{place}]")
                parts.append(media_of(part))
        return ToolResult(
            call.id if call else result.id or minted_id(-1, -1, result.name),
            tuple(parts),
            name=result.name or (call.name if call else None),
            is_error=is_error,
        )

    def _answered(self, result: FunctionResponse) -> _Open | None:
        """The call that the result answers: by its id, else the first open one of its name."""
        found = next((call for call in self.open if result.id and call.id == result.id), None)
        found = found or next((call for call in self.open if call.name == result.name), None)
        if found is not None:
            self.open.remove(found)
        return found


def _carrying(part: Part, carriers: tuple[Carrier, ...]) -> Part:
    if isinstance(part, Text | Reasoning) and part.carriers != carriers:
        return structs.replace(part, carriers=carriers)
    return part


def _raw_list(raw: Raw) -> list[Raw]:
    return [raw] if bytes(memoryview(raw)[:1]) == b"{" else RAW_LIST.decode(raw)


def _check(wire: WirePart | MediaPart, path: str) -> None:
    """Media must be bytes, or a file that can be found.

    Raises:
        ClientError: it is neither.
    """
    if (blob := wire.inline_data) is not None:
        if not is_media_type(blob.mime_type or ""):
            raise ClientError(f"{path}.inlineData.mimeType: no media type", param=f"{path}.inlineData.mimeType")
        if not is_base64(standard_base64(blob.data)):
            raise ClientError(f"{path}.inlineData.data: must be base64", param=f"{path}.inlineData.data")
    elif (file := wire.file_data) is not None and not (is_link(file.file_uri) or is_own_file(file.file_uri)):
        raise ClientError(f"{path}.fileData.fileUri: must be the URI of a file", param=f"{path}.fileData.fileUri")


_WRAPPERS = ("output", "result", "error")


def _outcome(raw: Raw, path: str) -> tuple[list[Part], bool | None]:
    """What the tool answered, and whether it says that it failed. The API wants an object, so that clients wrap what
    is not one under a single well-known key."""
    if given(raw) is None:
        return [], None
    if bytes(memoryview(raw)[:1]) != b"{":
        return [Text(_shown(raw))], None
    members: dict[str, Raw] = typed(raw, _MEMBERS, path)
    if len(members) == 1:
        key, value = next(iter(members.items()))
        if key in _WRAPPERS:
            said: list[Part] = [Text(_shown(value))] if given(value) is not None else []
            return said, True if key == "error" else None
    return [Text(compact(raw))], None


def _shown(raw: Raw) -> str:
    """A string's text, anything else as it is written."""
    if bytes(memoryview(raw)[:1]) == b'"':
        return _STRING.decode(raw)
    return compact(raw)
