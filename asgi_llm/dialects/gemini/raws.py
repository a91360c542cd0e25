"""Raw JSON that may be absent, text of its kinds, and how a wrong field is complained about.

msgspec takes ``Raw`` by itself only (no unions), so absence is the text ``null``.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.errors import ClientError

__all__ = ["NULL", "Fields", "compact", "given", "object_text", "one_line", "typed"]

NULL = Raw(b"null")

_WHERE = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_MEMBERS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


def given(raw: Raw) -> Raw | None:
    """The raw JSON, or None where it is absent or null."""
    return None if raw == NULL else raw


def typed(raw: Raw, decoder: "msgspec.json.Decoder[Any]", path: str) -> Any:
    """The value as its decoder's type.

    Raises:
        ClientError: it is not; the error names the field (``contents[0].parts[1].text``).
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        text = str(error)
        if found := _WHERE.search(text):
            text = text[: found.start()]
            path += found.group(1)
        path, text = path.removeprefix("."), text[:500].replace("`", "")
        if not path:
            raise ClientError(f"The request body: {text}", code="invalid_json") from None
        raise ClientError(f"{path}: {text}", param=path) from None


class Fields:
    """The members of an object, taken one by one; what is left over has no neutral meaning."""

    __slots__ = ("_path", "_raw")

    def __init__(self, body: Raw, path: str = "") -> None:
        self._raw: dict[str, Raw] = typed(body, _MEMBERS, path)
        self._path = f"{path}." if path else ""

    def take(self, name: str, decoder: "msgspec.json.Decoder[Any]") -> Any:
        """The member's value, None where it is absent or null.

        Raises:
            ClientError: it is of the wrong type.
        """
        raw = self.raw(name)
        return None if raw is None else typed(raw, decoder, self._path + name)

    def raw(self, name: str) -> Raw | None:
        raw = self._raw.pop(name, None)
        return None if raw is None else given(raw)

    def rest(self) -> dict[str, Raw]:
        return {name: raw for name, raw in self._raw.items() if given(raw) is not None}


def object_text(text: str) -> Raw | None:
    """JSON text as an object on one line: ``{}`` where it is blank, None where it is not an object."""
    stripped = text.strip()
    if not stripped:
        return Raw(b"{}")
    try:
        data = stripped.encode()
        _MEMBERS.decode(data)
        return one_line(Raw(data))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def compact(raw: Raw) -> str:
    """The JSON as text without white space around its tokens. Numbers and key order stay."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()


def one_line(raw: Raw) -> Raw:
    """The same JSON without line ends, which would end an event's data. Numbers and key order stay."""
    data = bytes(raw)
    return Raw(msgspec.json.format(data, indent=-1)) if b"\n" in data or b"\r" in data else raw
