"""Settings of the state that all processes of a gateway share."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from .values import REDIS, Model, Secret

__all__ = ["StateSettings"]


def _check_address(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url != "memory:" and not url.startswith(REDIS):
        raise ValueError("must be memory:, redis://host:port/number, rediss://, unix:// or redis+cluster://host:port")
    return value


class StateSettings(Model):
    """Where it is kept.

    Attributes:
        url: ``memory:`` (this process only) or ``redis://``, ``rediss://`` or ``unix://`` (all that name the same);
            with ``redis+cluster://`` or ``rediss+cluster://``, one node of a cluster, which tells of the others.
        prefix: before the names of keys there.
        interval: seconds between two looks whether another process has changed something.
    """

    url: Annotated[Secret, AfterValidator(_check_address)] = SecretStr("memory:")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]+$")] = "asgi_llm"
    interval: Annotated[float, Field(gt=0, le=3600)] = 1

    @property
    def address(self) -> str:
        """The URL in plain text. Never to be logged."""
        return self.url.get_secret_value()
