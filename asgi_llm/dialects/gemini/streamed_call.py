"""A call whose arguments come in pieces: ``partialArgs``, each a value or more of a text at a JSON path.

The first piece has the name; ``willContinue`` says that another one comes, and the last may be an empty call. Spec:
Vertex AI API, "FunctionCall", "PartialArg"; RFC 9535 for paths, of which names and indexes are understood.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw

from asgi_llm.neutral.request import Carrier

from .raws import given
from .wire import FunctionCall, PartialArg

__all__ = ["StreamedCall"]

_STEP = re.compile(r"\.([^.\[\]'\"*]+)|\[(\d{1,6})\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]")
_DEEPEST = 100

Step = str | int


class StreamedCall:
    """One call."""

    __slots__ = ("_arguments", "_texts", "carriers", "id", "name")

    def __init__(self, first: FunctionCall) -> None:
        self.name = first.name
        self.id = first.id
        self.carriers: tuple[Carrier, ...] = ()
        self._arguments: Any = None
        self._texts: dict[str, list[str]] = {}
        """The pieces of each text, by its path."""

    def goes_on_with(self, piece: FunctionCall) -> bool:
        """Whether ``piece`` may be one of this call, rather than the beginning of another."""
        return piece.name in ("", self.name) and (piece.id or self.id) == (self.id or piece.id)

    def add(self, piece: FunctionCall, carriers: tuple[Carrier, ...]) -> None:
        """
        Raises:
            msgspec.ValidationError: it says where its value belongs in a way that is not understood.
        """
        self.id = self.id or piece.id
        self.carriers += carriers
        if given(piece.args) is not None:
            self._arguments = msgspec.json.decode(piece.args, type=dict[str, Raw])
        for told in piece.partial_args or ():
            self._take(told)

    def _take(self, told: PartialArg) -> None:
        if told.string_value is not None:
            if told.json_path not in self._texts:
                self._texts[told.json_path] = []
                self._set(told.json_path, "")
            self._texts[told.json_path].append(told.string_value)
        elif given(told.number_value) is not None:
            self._set(told.json_path, told.number_value)
        elif told.bool_value is not None:
            self._set(told.json_path, told.bool_value)
        elif told.null_value is not None:
            self._set(told.json_path, None)

    def _set(self, path: str, value: Any) -> None:
        self._arguments = _put(self._arguments, _steps(path), value)

    def whole(self) -> FunctionCall:
        for path, pieces in self._texts.items():
            self._set(path, "".join(pieces))
        arguments = {} if self._arguments is None else self._arguments
        return FunctionCall(self.name, Raw(msgspec.json.encode(arguments)), self.id)


def _steps(path: str) -> list[Step]:
    steps: list[Step] = []
    at = 1
    while at < len(path) and (found := _STEP.match(path, at)) is not None:
        name, index, quoted = found.groups()
        steps.append(name if name is not None else int(index) if index is not None else _unquoted(quoted))
        at = found.end()
    if path[:1] != "$" or at < len(path) or not 0 < len(steps) <= _DEEPEST:
        raise msgspec.ValidationError("a path to an argument that is not understood")
    return steps


def _unquoted(text: str) -> str:
    inside = text[1:-1]
    if text[0] == "'":
        inside = inside.replace("\\'", "'").replace('"', '\\"')
    return msgspec.json.decode(f'"{inside}"', type=str)


def _put(into: Any, steps: list[Step], value: Any) -> Any:
    """``into`` with the value at its place; what is missing on the way there is made."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        members = {} if into is None else into
        if not isinstance(members, dict):
            raise msgspec.ValidationError("a path into an argument that is no object")
        members[step] = _put(members.get(step), rest, value)
        return members
    elements = [] if into is None else into
    if not isinstance(elements, list) or step > len(elements):
        raise msgspec.ValidationError("a path to no element of an argument")
    if step == len(elements):
        elements.append(None)
    elements[step] = _put(elements[step], rest, value)
    return elements
