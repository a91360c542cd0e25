"""The pieces of a routing text, collected in the order of the prompt."""

from typing import NamedTuple

from msgspec import Raw

__all__ = ["NO_TEXT", "Pieces", "RoutingText"]


class RoutingText(NamedTuple):
    """The text, and how much of it stands before the model's first answer.

    ``opening`` counts the characters up to the end of the caller's first turn. A conversation keeps its opening while
    it grows, so it tells conversations apart. Where an endpoint has no turns it is the whole text.
    """

    text: str
    opening: int


NO_TEXT = RoutingText("", 0)


class Pieces:
    """Collects pieces, and notes where the first answer begins."""

    __slots__ = ("_asked", "_opening", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._asked = False
        self._opening: int | None = None

    def asked(self) -> None:
        """A turn of the caller begins."""
        self._asked = True

    def answered(self) -> None:
        """A turn of the model begins. A greeting that stands before the first question is none."""
        if self._asked and self._opening is None:
            self._opening = len(self._pieces)

    def add(self, piece: str | None) -> None:
        """A text, unless it is empty or a blob in the form of a data URL."""
        if piece and not (piece.startswith("data:") and ";base64," in piece[:128]):
            self._pieces.append(piece)

    def add_json(self, raw: Raw) -> None:
        """JSON as the caller wrote it."""
        if raw:
            piece = str(raw, "utf-8")
            if piece != "null":
                self._pieces.append(piece)

    def join(self) -> RoutingText:
        pieces, opening = self._pieces, self._opening
        text = "\n".join(pieces)
        return RoutingText(text, len(text) if opening is None else len("\n".join(pieces[:opening])))
