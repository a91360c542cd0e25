"""Tool calls that arrive in pieces, put in order.

The origin sends one call after the other, told apart by ``index``. Compatible servers leave the index out, send 0 for
all, repeat the id or name, send the name late or in pieces, or mix the pieces of several calls. Neutral streams have
one block open at a time, so pieces of a later call wait until the arguments of the open one are whole JSON.
"""

import re

from asgi_llm.neutral.request import Carrier

from .answer import ToolPiece
from .thoughts import call_carriers
from .wire import given

__all__ = ["Balance", "Call", "Calls"]

_STRUCTURE = re.compile(r'[\\"{}\[\]]')


class Balance:
    """Tells when JSON that arrives in pieces is whole, remembering three values only."""

    __slots__ = ("_depth", "_escaped", "_quoted", "begun")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False
        self.begun = False

    def feed(self, text: str) -> None:
        start = 0
        if self._escaped and text:
            self._escaped, start = False, 1
        while (found := _STRUCTURE.search(text, start)) is not None:
            start = found.end()
            char = found[0]
            if self._quoted:
                if char == "\\":
                    self._escaped = start >= len(text)
                    start += 1
                elif char == '"':
                    self._quoted = False
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth, self.begun = self._depth + 1, True
            elif char in "}]":
                self._depth -= 1

    @property
    def whole(self) -> bool:
        return self.begun and self._depth <= 0 and not self._quoted


class Call:
    """One tool call as far as it has come."""

    __slots__ = ("balance", "block", "carriers", "closed", "custom", "id", "name", "said", "waiting")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.custom = False
        self.carriers: tuple[Carrier, ...] = ()
        self.waiting: list[str] = []
        """Arguments that could not be handed on yet."""
        self.said = False
        """Whether any arguments have come."""
        self.balance = Balance()
        self.block: int | None = None
        self.closed = False

    def take(self, piece: ToolPiece) -> None:
        if self.closed:
            return  # its arguments were whole; what comes now repeats them or is white space
        if piece.id not in (None, "") and not self.id:
            self.id = str(piece.id)
        if piece.custom is not None:
            self.custom = True
        if self.block is None:
            self._rename(piece.name)
        if given(piece.extra_content) is not None:
            self.carriers = call_carriers(piece.extra_content)
        if arguments := piece.arguments:
            self.said = True
            self.waiting.append(arguments)
            self.balance.feed(arguments)

    def _rename(self, name: str) -> None:
        if not name or name == self.name:
            return
        # A name in pieces is appended; one that is sent again, longer, replaces what was there.
        self.name = name if name.startswith(self.name) else self.name + name

    @property
    def whole(self) -> bool:
        """Whether nothing of it is to be expected; free text has no recognisable end."""
        return self.balance.whole or (self.custom and self.said)


class Calls:
    """The calls of one candidate, in order of their first piece."""

    __slots__ = ("_by_id", "_by_index", "_last", "queue")

    def __init__(self) -> None:
        self._by_index: dict[int | str | None, Call] = {}
        self._by_id: dict[tuple[int | str | None, str], Call] = {}
        """By index and id, for servers that mix calls under one index."""
        self._last: Call | None = None
        self.queue: list[Call] = []
        """Those not closed yet; the first may have its block open."""

    def take(self, piece: ToolPiece) -> Call:
        """Find the call that the piece belongs to, or begin one, and add the piece."""
        call_id = "" if piece.id is None else str(piece.id)
        call = self._last if piece.index is None else self._by_index.get(piece.index)
        if call is None or _begins(piece, call_id, call):
            call = self._by_id.get((piece.index, call_id))
            if call is None:
                call = Call()
                self.queue.append(call)
            self._by_index[piece.index] = call
        if call_id:
            self._by_id.setdefault((piece.index, call_id), call)
        self._last = call
        call.take(piece)
        return call


def _begins(piece: ToolPiece, call_id: str, call: Call) -> bool:
    """Whether the piece belongs to another call than the one that has its index."""
    if call_id:
        return bool(call.id) and call_id != call.id
    # Without ids, a name after arguments is another call: a different name, or the same one beginning anew.
    if not piece.name or not call.name or not call.said:
        return False
    return piece.name != call.name or (call.whole and piece.arguments.lstrip().startswith("{"))
