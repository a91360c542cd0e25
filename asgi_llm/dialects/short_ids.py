"""Ids that callers chose, as upstreams may be shown them: of end users, of caches."""

import re
from hashlib import sha256

__all__ = ["short_id"]

_EMAIL = re.compile(r"[^@\s]@[^@\s]")


def short_id(value: str, limit: int) -> str:
    """Never an e-mail address, never longer than ``limit`` characters; a hash stands for what may not be sent."""
    if len(value) <= limit and not ("@" in value and _EMAIL.search(value)):
        return value
    return sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:limit]
