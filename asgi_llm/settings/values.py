"""Single values of the settings: secrets and where they are read from, addresses, names, globs, headers, seconds."""

import os
import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

__all__ = [
    "REDIS", "REFERENCE", "Glob", "HTTPAddress", "HeaderName", "HeaderSecret", "HeaderValue", "Model", "Name",
    "Network", "Prefix", "Seconds", "Secret", "one_of",
]  # fmt: skip

REDIS = ("redis://", "rediss://", "unix://", "redis+cluster://", "rediss+cluster://")
"""What the address of a Redis begins with."""
REFERENCE = re.compile(r"^(env|file)://(.+)$", re.DOTALL)
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FRAMING = frozenset({"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"})
_GLOB = re.compile(r"^(?:[^\s\[\]{}\x00-\x1f]|\[!?\]?[^\[\]\s]+\])+\Z")


def _resolve_secret(value: Any) -> Any:
    if not isinstance(value, str) or (match := REFERENCE.match(value)) is None:
        return value
    scheme, name = match.groups()
    if scheme == "env":
        if not (found := os.environ.get(name, "").strip()):
            raise ValueError(f"the environment variable {name} is not set")
        return found
    try:
        found = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ValueError(f"the file {name} cannot be read: {reason}") from None
    if not found:
        raise ValueError(f"the file {name} is empty")
    return found


def _visible_ascii(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or any(not 0x21 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be visible ASCII characters without spaces, since it is sent in a header")
    return value


Secret = Annotated[SecretStr, BeforeValidator(_resolve_secret)]
"""A literal, or ``env://NAME`` or ``file:///path``, read once at load; shown as asterisks everywhere."""

HeaderSecret = Annotated[SecretStr, BeforeValidator(_resolve_secret), AfterValidator(_visible_ascii)]


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or text != text.strip(" ") or any(not 0x20 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be visible ASCII characters, with spaces only between them")
    return value


def _header_name(value: str) -> str:
    if not _TOKEN.match(value):
        raise ValueError("is not the name of a header")
    if value.lower() in _FRAMING:
        raise ValueError("is a header that the gateway writes itself")
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[SecretStr, BeforeValidator(_resolve_secret), AfterValidator(_header_value)]


def _check_glob(value: str) -> str:
    if not _GLOB.match(value):
        raise ValueError("is not a glob: use *, ? and [abc] or [!abc], no spaces and no braces")
    return value


Glob = Annotated[str, AfterValidator(_check_glob)]
"""A case-sensitive anchored pattern for model names; ``*`` crosses ``/``."""


def _check_url(value: str) -> str:
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ValueError("must be an http:// or https:// address with a host")
    if parts.query or parts.fragment or parts.username or parts.password is not None:
        raise ValueError("must not carry a query, a fragment, a user or a password")
    return value.rstrip("/")


def one_of(said: str) -> WrapValidator:
    """For a union, of which pydantic tells a mistake once for each member, and the member's name in its path: tells
    ``said`` in their place."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(said) from None

    return WrapValidator(check)


HTTPAddress = Annotated[str, AfterValidator(_check_url)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Network = Annotated[IPv4Network | IPv6Network, one_of("is not a network, as in 10.1.0.0/16")]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
Prefix = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]*[A-Za-z0-9_-]$")]


class Model(BaseModel):
    # Defaults are validated too: a wrong default would otherwise be the one mistake nobody reports.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, protected_namespaces=(), defer_build=True
    )
