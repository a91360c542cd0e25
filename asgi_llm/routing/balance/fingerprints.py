"""A text as a row of fingerprints, one for each block of it.

Two texts that begin alike have rows that begin alike. A row is a small part of its text and tells nothing of what was
said: no prompt is kept after its request. Blocks are short where most texts part, in the first two thousand
characters, and longer after that. The opening of a conversation ends with a block of its own, so that a row that covers
it names the conversation, and not merely the instructions that it shares with others.
"""

from struct import pack

from asgi_llm.routing.text import RoutingText

__all__ = ["PRINT", "characters", "fingerprints", "opening_prints"]

PRINT = 8
"""Bytes of one fingerprint."""

FINE = 128
FINE_BLOCKS = 16
FINE_END = FINE * FINE_BLOCKS
COARSE = 1024
LONGEST = 1 << 20
"""Characters of a text that are looked at. What begins alike for so long may be taken to go on alike."""


def fingerprints(model: str, said: RoutingText) -> bytes:
    """The row of a text, which begins with the model's, since models do not share a cache. Behind the opening, an
    incomplete block at the end has no fingerprint.

    Python's own hash is good enough here, and the fastest there is: a row never leaves its process.
    """
    text, opening = said
    end = min(len(text), LONGEST)
    opening = min(opening, end)
    row = [hash(model)]
    row += [hash(text[at : at + FINE]) for at in range(0, min(opening, FINE_END) - FINE + 1, FINE)]
    row += [hash(text[at : at + COARSE]) for at in range(FINE_END, opening - COARSE + 1, COARSE)]
    if rest := _rest(opening):
        row.append(hash(text[opening - rest : opening]))
    row += [hash(text[at : at + COARSE]) for at in range(opening, end - COARSE + 1, COARSE)]
    return pack(f"{len(row)}q", *row)


def opening_prints(opening: int) -> int:
    """How many fingerprints of a row stand for the opening, the model's included."""
    opening = min(opening, LONGEST)
    whole = min(opening, FINE_END) // FINE + max(opening - FINE_END, 0) // COARSE
    return 1 + whole + bool(_rest(opening))


def characters(prints: int, opening: int) -> int:
    """How many characters the first ``prints`` of a row stand for, in a text with such an ``opening``."""
    in_opening = opening_prints(opening)
    if prints >= in_opening:
        return min(opening, LONGEST) + (prints - in_opening) * COARSE
    blocks = max(prints - 1, 0)
    return blocks * FINE if blocks <= FINE_BLOCKS else FINE_END + (blocks - FINE_BLOCKS) * COARSE


def _rest(opening: int) -> int:
    """Characters of the opening behind its last whole block."""
    return opening % FINE if opening < FINE_END else (opening - FINE_END) % COARSE
