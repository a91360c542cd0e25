"""What a target may be asked for: globs on the upstream's model name, a property of the target on every path."""

import fnmatch
import re
from collections.abc import Callable, Iterable

__all__ = ["Catalog", "compile_glob", "is_pattern"]


def compile_glob(pattern: str) -> Callable[[str], object]:
    """A matcher for ``pattern``: case-sensitive, anchored at both ends, ``*`` crosses ``/``."""
    return re.compile(fnmatch.translate(pattern)).match


def is_pattern(pattern: str) -> bool:
    """Whether ``pattern`` can match more than the one name it spells."""
    return any(mark in pattern for mark in "*?[")


class Catalog:
    """Allow and deny lists. With an allow list a model must match one of it; it must never match the deny list."""

    __slots__ = ("_allow", "_deny")

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self._allow = [compile_glob(pattern) for pattern in allow]
        self._deny = [compile_glob(pattern) for pattern in deny]

    def permits(self, model: str) -> bool:
        if self._allow and not any(match(model) for match in self._allow):
            return False
        return not any(match(model) for match in self._deny)
