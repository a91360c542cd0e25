"""Settings of the cache of answers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from .values import REDIS, Glob, Model, Secret

__all__ = ["CacheSettings"]


def _check_address(value: SecretStr) -> SecretStr:
    url = value.get_secret_value()
    if url not in ("state", "memory:", "django") and not url.startswith(REDIS):
        raise ValueError("must be state, memory:, django, redis://host:port/number, or another address of a Redis")
    return value


class CacheSettings(Model):
    """Answers to requests that were asked before, word for word, by the same tenant.

    Attributes:
        enabled: to switch it off and keep the other settings.
        url: where answers are kept: where ``[state]`` says (``state``), in this process (``memory:``), on a Redis,
            or in the cache of the Django site that the gateway is in (``django``).
        ttl: seconds for which an answer is given again.
        scope: who gets it again: all of the ``tenant``, or only the ``subject`` who asked first.
        sampling: whose answers are kept: of requests with a temperature of ``zero``, also of those that say nothing of
            it (``unset``), or of ``any``.
        tools: also of requests that offer tools run by the caller. With tools that the provider runs never.
        models: globs; empty for all.
        max_entry: bytes of one answer.
        timeout: seconds to wait for where answers are kept, before the upstream is asked.
        wait: seconds for which a request waits for the answer to the same one, which is under way, before it asks the
            upstream itself; 0: not at all.
        max_size: bytes of all answers in memory; the ones that were not asked for longest go first.
    """

    enabled: bool = True
    url: Annotated[Secret, AfterValidator(_check_address)] = SecretStr("state")
    ttl: Annotated[float, Field(gt=0, le=366 * 86400)] = 3600
    scope: Literal["tenant", "subject"] = "tenant"
    sampling: Literal["zero", "unset", "any"] = "zero"
    tools: bool = False
    models: tuple[Glob, ...] = ()
    max_entry: Annotated[int, Field(ge=256)] = 1024 * 1024
    timeout: Annotated[float, Field(gt=0, le=60)] = 0.5
    wait: Annotated[float, Field(ge=0, le=3600)] = 60
    max_size: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024

    @property
    def address(self) -> str:
        """The URL in plain text. Never to be logged."""
        return self.url.get_secret_value()
