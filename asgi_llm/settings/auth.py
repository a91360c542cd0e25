"""Settings of who may call."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from .values import HeaderSecret, Model

__all__ = ["AuthSettings", "KeySettings"]


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


class AuthSettings(Model):
    """Who may call, where the host application has not said so already."""

    anonymous: bool = False
    keys: tuple[KeySettings, ...] = ()
