"""Settings of the way a request is served: routes, streams, limits, endpoints."""

from typing import Annotated, Literal

from pydantic import Field

from .values import Glob, Model, Prefix, Seconds, Secret

__all__ = ["EndpointSettings", "LimitSettings", "RouteSettings", "StreamSettings"]


class RouteSettings(Model):
    """Model names that match ``model`` go to ``target``; when it fails before the first byte, to the fallbacks."""

    model: Glob
    target: str
    fallback: tuple[str, ...] = ()


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
    shutdown."""

    body: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024
    answer: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    upload: Annotated[int, Field(ge=1)] = 512 * 1024 * 1024
    upload_idle: Seconds = 60
    shutdown_grace: Seconds = 30


def _default_prefixes() -> dict[str, str]:
    return {"openai": "/openai", "anthropic": "/anthropic"}


class EndpointSettings(Model):
    """``prefixes`` are accepted before every path, besides the root. ``disable`` names endpoints not to be served.
    ``id_key`` signs the ids of files and batches that upstreams keep; without it each target's ``api_key`` does, and
    ids given out before that key is changed are not known any more."""

    prefixes: dict[str, Prefix] = Field(default_factory=_default_prefixes)
    disable: tuple[str, ...] = ()
    id_key: Secret | None = None
