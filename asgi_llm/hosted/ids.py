"""Ids of what the gateway's own tools did. They say that the gateway made them, and which calls were made together."""

import re
import secrets

__all__ = ["MADE_HERE", "Batch", "batch_of"]

MADE_HERE = re.compile(rb'"(?:mcp|mcpl|mcpr|ws|srvtoolu|mcptoolu)_gw[0-9a-f]{26}"')
_MARK = "_gw"


class Batch:
    """The calls that a model made at once."""

    __slots__ = ("_base", "_count")

    def __init__(self) -> None:
        self._base = secrets.token_hex(12)
        self._count = 0

    def new_id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{_MARK[1:]}{self._base}{self._count % 256:02x}"


def batch_of(name: str) -> str:
    """The same for calls that were made together."""
    before, mark, rest = name.partition(_MARK)
    return rest[:-2] if mark and before else name
