"""Settings of the way a request is served: streams, limits, endpoints."""

from typing import Annotated, Literal

from pydantic import Field

from .values import Model, Prefix, Seconds, Secret

__all__ = ["EndpointSettings", "LimitSettings", "StreamSettings"]


class StreamSettings(Model):
    """``keepalive``: after how many seconds of silence something is sent to keep a stream open; 0 means never.
    ``on_disconnect``: stop the upstream when the caller leaves, or read on (at most ``drain_timeout`` seconds) so
    that its final usage is known."""

    keepalive: Seconds = 15
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain_timeout: Seconds = 60


class LimitSettings(Model):
    """``body``, ``answer`` and ``upload`` are bytes; ``upload`` is for forms with files, which are not held in memory.
    ``upload_idle`` is seconds between two pieces of one; ``shutdown_grace`` those that running streams get at
    shutdown.

    ``concurrency``: most requests that are served at a time, until the end of their answers; 0 means no limit. Others
    wait in order: at most ``queue`` of them, each for at most ``queue_timeout`` seconds. Each target's own
    ``concurrency`` has a queue of the same measures.

    ``continuations`` is how often an answer that its provider paused is gone on with, for a caller whose dialect knows
    no pause; each is a call of its own, with the same limit on output. 0: such an answer ends where it paused.
    """

    body: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024
    answer: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    upload: Annotated[int, Field(ge=1)] = 512 * 1024 * 1024
    upload_idle: Seconds = 60
    shutdown_grace: Seconds = 30
    concurrency: Annotated[int, Field(ge=0)] = 0
    queue: Annotated[int, Field(ge=0)] = 0
    queue_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30
    continuations: Annotated[int, Field(ge=0, le=100)] = 10


def _default_prefixes() -> dict[str, str]:
    return {"openai": "/openai", "anthropic": "/anthropic"}


class EndpointSettings(Model):
    """``prefixes`` are accepted before every path, besides the root. ``disable`` names endpoints not to be served.
    ``id_key`` signs the ids of files and batches that upstreams keep; without it each target's ``api_key`` does, and
    ids given out before that key is changed are not known any more. ``file_ids``: such an id names the file in a
    conversation, too."""

    prefixes: dict[str, Prefix] = Field(default_factory=_default_prefixes)
    disable: tuple[str, ...] = ()
    id_key: Secret | None = None
    file_ids: bool = False
