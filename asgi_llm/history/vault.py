"""Encryption of what is kept, where the settings have a key for it."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asgi_llm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["UnreadableError", "Vault"]

_PLAIN, _SEALED = b"p", b"f"


class UnreadableError(Exception):
    """What is stored is damaged, or was encrypted with a key that is gone."""


class Vault:
    """Seals with the first of ``keys`` and opens with any; without keys it leaves things as they are.

    Raises:
        ConfigError: there are keys, and what encrypts is not installed.
    """

    __slots__ = ("_fernet",)

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._fernet: MultiFernet | None = None
        if not keys:
            return
        if find_spec("cryptography") is None:
            said = 'encryption needs an extra: pip install "asgi-llm[encryption]"'
            raise ConfigError([Problem("responses.encryption_keys", said)])
        from cryptography import fernet

        self._fernet = fernet.MultiFernet([fernet.Fernet(key) for key in keys])

    def seal(self, data: bytes) -> bytes:
        return _PLAIN + data if self._fernet is None else _SEALED + self._fernet.encrypt(data)

    def open(self, data: bytes) -> bytes:
        """
        Raises:
            UnreadableError: it cannot be opened.
        """
        mark, rest = data[:1], data[1:]
        if mark == _PLAIN:
            return rest
        if mark != _SEALED or self._fernet is None:
            raise UnreadableError
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(rest)
        except InvalidToken:
            raise UnreadableError from None
