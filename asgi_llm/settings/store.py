"""Settings of what outlives a request: where it is kept."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from .values import Model, Seconds, Secret

__all__ = ["StoreSettings"]

_SQL = ("sqlite:///", "postgresql://", "postgres://")


def _check_address(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url in ("memory:", "django"):
        return value
    if not url.startswith(_SQL):
        raise ValueError("must be memory:, sqlite:///path, postgresql://user:password@host/database or django")
    if url.startswith("sqlite:") and (url.endswith("/") or ":memory:" in url):
        raise ValueError("must name a file, as in sqlite:///llm.db (relative) or sqlite:////var/lib/llm.db (absolute)")
    if not url.startswith("sqlite:") and not urlsplit(url).path.strip("/"):
        raise ValueError("must name a database, as in postgresql://user:password@host/database")
    return value


StoreAddress = Annotated[Secret, AfterValidator(_check_address)]
"""May hold a password, so it is read and shown as secrets are."""


class StoreSettings(Model):
    """Where rows and stored responses are kept.

    ``url``: ``memory:`` (lost with the process), ``sqlite:///path``, ``postgresql://...`` or ``django`` (the host's own
    database); may be an ``env://`` or ``file://`` reference. ``connections``: most of them open at once, for each event
    loop. ``timeout``: seconds to wait for a connection, a lock or an answer.
    """

    url: StoreAddress = SecretStr("memory:")
    connections: Annotated[int, Field(ge=1, le=100)] = 5
    timeout: Annotated[Seconds, Field(gt=0)] = 5

    @property
    def address(self) -> str:
        """The URL in plain text. Never to be logged."""
        return self.url.get_secret_value()

    @property
    def durable(self) -> bool:
        """Whether it outlives the process."""
        return self.address != "memory:"
