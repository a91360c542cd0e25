"""A text as a row of fingerprints, one for each block of it.

Two texts that begin alike have rows that begin alike. A row is a fortieth of its text or less, and tells nothing of
what was said: no prompt is kept after its request. Blocks are short where most texts part, in the first two thousand
characters, and longer after that.
"""

from struct import pack

__all__ = ["PRINT", "characters", "fingerprints"]

PRINT = 8
"""Bytes of one fingerprint."""

FINE = 128
FINE_BLOCKS = 16
COARSE = 1024
LONGEST = 1 << 20
"""Characters of a text that are looked at. What begins alike for so long may be taken to go on alike."""

_FINE_END = FINE * FINE_BLOCKS


def fingerprints(model: str, text: str) -> bytes:
    """The row of ``text``, which begins with the model's, since models do not share a cache. An incomplete block at the
    end has no fingerprint.

    Python's own hash is good enough here, and the fastest there is: a row never leaves its process.
    """
    end = min(len(text), LONGEST)
    row = [hash(model)]
    row += [hash(text[at : at + FINE]) for at in range(0, min(end, _FINE_END) - FINE + 1, FINE)]
    row += [hash(text[at : at + COARSE]) for at in range(_FINE_END, end - COARSE + 1, COARSE)]
    return pack(f"{len(row)}q", *row)


def characters(blocks: int) -> int:
    """How many characters the first ``blocks`` fingerprints of a row stand for, the model's included."""
    blocks -= 1
    if blocks <= FINE_BLOCKS:
        return max(blocks, 0) * FINE
    return _FINE_END + (blocks - FINE_BLOCKS) * COARSE
