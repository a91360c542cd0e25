"""The text of a key: ``PREFIX_ID_SECRET``. The id is public and finds the key; the secret has 256 random bits, so that
its digest needs no slow function."""

import hashlib
import hmac
import re
import secrets
import string

__all__ = ["digest_of", "id_of", "mint"]

_LETTERS = string.ascii_letters + string.digits
_ID, _SECRET = 12, 43


def mint(prefix: str) -> tuple[str, str]:
    """A new key: its id and its text."""
    name, secret = _random(_ID), _random(_SECRET)
    return name, f"{prefix}_{name}_{secret}"


def id_of(prefix: str, key: bytes) -> str | None:
    """The id in ``key``; None where it does not look like one of ours, so that nobody need be asked about it."""
    match = re.fullmatch(rb"%b_([A-Za-z0-9]{%d})_[A-Za-z0-9]{%d}" % (prefix.encode(), _ID, _SECRET), key)
    return None if match is None else match.group(1).decode()


def digest_of(key: bytes, pepper: str | None) -> bytes:
    """What is kept of a key."""
    if pepper is None:
        return hashlib.sha256(key).digest()
    return hmac.digest(pepper.encode(), key, "sha256")


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
