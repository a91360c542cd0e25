"""Settings of who may call."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from .values import HeaderSecret, Model, Seconds, Secret

__all__ = ["AuthSettings", "IssuedSettings", "KeySettings"]


class KeySettings(Model):
    """A key that callers may show. Give ``key`` or ``sha256`` (64 hexadecimal digits of the key's SHA-256)."""

    key: HeaderSecret | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    subject: Annotated[str, Field(min_length=1)]
    tenant: Annotated[str, Field(min_length=1)] = "default"
    roles: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give either key or sha256")
        return self


class IssuedSettings(Model):
    """Keys that this gateway issues, kept in ``[store]``.

    Attributes:
        prefix: what they begin with, by which leaked ones are found.
        pepper: a secret that goes into what is stored of a key; without it, a copy of the store tells nothing either,
            for keys are random. Changing it makes every issued key unknown.
        fresh: seconds for which what is known of a key is not asked for again; a key that another process revokes
            works for as long.
        unknown: the same for keys that do not exist.
        stale: seconds for which a key that was good goes on working while the store cannot be asked.
        touch: seconds between two notes of which keys were used; 0 means never.
    """

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,15}$")] = "llm"
    pepper: Secret | None = None
    fresh: Seconds = 30
    unknown: Seconds = 10
    stale: Seconds = 3600
    touch: Seconds = 60


class AuthSettings(Model):
    """Who may call, where the host application has not said so already: with ``keys`` of the settings, or with those
    that are ``issued``, by the gateway itself."""

    anonymous: bool = False
    keys: tuple[KeySettings, ...] = ()
    issued: IssuedSettings | None = None
