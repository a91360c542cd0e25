"""What a connection remembers of the last response that it carried, where nothing else does: a later request on the
same connection may build upon it. It is gone with the connection."""

from asgi_llm.stores.scope import Scope

from .records import KeptItem

__all__ = ["LOCAL_KEY", "Local", "Room"]

LOCAL_KEY = "asgi_llm.local"
"""Where the ``Local`` of a request's connection is in its scope."""


class Room:
    """The bytes that all connections together may remember."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Local:
    """``limit`` is bytes; a conversation that is longer, or for which there is no ``room``, is not remembered.
    ``warming``: the request at hand wants no answer, it only says what later ones will build upon."""

    __slots__ = ("_id", "_items", "_limit", "_room", "_scope", "_size", "warming")

    def __init__(self, limit: int, room: Room) -> None:
        self.warming = False
        self._limit = limit
        self._room = room
        self._scope: Scope | None = None
        self._id = ""
        self._items: tuple[KeptItem, ...] = ()
        self._size = 0

    def find(self, scope: Scope, response_id: str) -> tuple[KeptItem, ...] | None:
        """The whole conversation up to that response; None if it is not the last one, or somebody else's."""
        return self._items if (scope, response_id) == (self._scope, self._id) else None

    def remember(self, scope: Scope, response_id: str, items: list[KeptItem]) -> None:
        """In place of what was remembered before."""
        self.clear()
        size = sum(len(bytes(item.item)) for item in items)
        if size <= min(self._limit, self._room.left):
            self._room.left -= size
            self._scope, self._id, self._items, self._size = scope, response_id, tuple(items), size

    def forget(self, response_id: str) -> None:
        if response_id == self._id:
            self.clear()

    def clear(self) -> None:
        self._room.left += self._size
        self._scope, self._id, self._items, self._size = None, "", (), 0
