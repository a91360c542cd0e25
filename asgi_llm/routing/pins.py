"""Ids of what an upstream keeps (files, batches) that say by themselves whose they are and where.

An id given to a caller is the upstream's own, with a mark of the target and a signature over it and the tenant. So
nothing need be stored to find the target again, and an id that another tenant shows, or that was made up, is no id.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Pin", "Pins"]

_MARK = "-llm-"
_KIND = re.compile(r"[A-Za-z]{1,16}")
_SOUND = re.compile(r"[!-~]{1,256}")
_TARGET, _SIGNATURE = 6, 16
"""Bytes of a target's mark and of a signature."""


class Pin(NamedTuple):
    """``id`` is the upstream's own."""

    target: str
    id: str


class Pins:
    """Signs and reads ids. ``keys`` has each target's secret, or None where it has none: its ids are not given out."""

    __slots__ = ("_keys", "_marks")

    def __init__(self, keys: Mapping[str, bytes | None]) -> None:
        self._keys = dict(keys)
        self._marks = {_mark(name): name for name in keys}

    def signs(self, target: str) -> bool:
        return self._keys.get(target) is not None

    def sign(self, target: str, tenant: str, own: str) -> str:
        """The caller's id of the upstream's ``own``.

        Raises:
            KeyError: the target has no key.
        """
        key = self._keys[target]
        if key is None:
            raise KeyError(target)
        # Clients tell files from batches by how an id begins.
        kind = _KIND.match(own)
        packed = base64.urlsafe_b64encode(_mark(target) + _signature(key, tenant, target, own) + own.encode())
        return f"{kind[0] if kind else 'id'}{_MARK}{packed.decode('ascii').rstrip('=')}"

    def read(self, given: str, tenant: str) -> Pin | None:
        """What ``sign`` made for this tenant; None for everything else."""
        _, mark, packed = given.partition(_MARK)
        if not mark or len(packed) > 1024:
            return None
        try:
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
            own = raw[_TARGET + _SIGNATURE :].decode("ascii")
        except (binascii.Error, ValueError):
            return None
        target = self._marks.get(raw[:_TARGET])
        key = self._keys.get(target) if target is not None else None
        if target is None or key is None or not _SOUND.fullmatch(own):
            return None
        expected = _signature(key, tenant, target, own)
        return Pin(target, own) if hmac.compare_digest(expected, raw[_TARGET : _TARGET + _SIGNATURE]) else None


def _mark(target: str) -> bytes:
    return hashlib.sha256(b"asgi-llm target\0" + target.encode()).digest()[:_TARGET]


def _signature(key: bytes, tenant: str, target: str, own: str) -> bytes:
    said = "\0".join(("asgi-llm id", tenant.replace("\0", "\0\0"), target, own))
    return hmac.new(key, said.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()[:_SIGNATURE]
