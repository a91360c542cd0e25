"""Keeps the memory that large requests were in for the next ones.

Left to itself glibc gives free memory back to the kernel as soon as there are a few hundred kilobytes of it, and asks
for it again at the next request, which then pays for every page anew: a seventh of what one of 150 KB costs. See
mallopt(3).
"""

import ctypes
import os

__all__ = ["keep_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_SAID = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
_KEPT = 16 * 1024 * 1024
"""Bytes of free memory at the end of the heap that are not given back."""
_LARGE = 4 * 1024 * 1024
"""Bytes from which on a piece of memory is the kernel's again once it is free."""


def keep_memory() -> bool:
    """Tells the C library of this process, unless its environment does. Whether it listens."""
    if any(name in os.environ for name in _SAID) or "malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such thing in musl, macOS and Windows
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _LARGE))
