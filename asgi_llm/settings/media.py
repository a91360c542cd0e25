"""Settings of the download of media that a request gives by URL, for upstreams that fetch none themselves."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_serializer

from .values import Glob, Model, Network

__all__ = ["MediaSettings"]


def _lower(value: str) -> str:
    return value.lower()


class MediaSettings(Model):
    """Off unless ``hosts`` says from where media may be fetched.

    Attributes:
        hosts: globs of host names; a port other than the scheme's own must be part of it (``cdn.example.org:8443``).
        schemes: of the URLs that are followed, redirects included.
        addresses: networks that may be gone to although they are not public (``10.1.0.0/16``). All others that are
            private, local, reserved or known to serve a cloud's metadata are refused, whatever name leads there.
        max_bytes: of one file; total_bytes: of all files of a request.
        max_items: files in a request.
        timeout: seconds for all files of a request.
        redirects: how many are followed for a file, each checked like the URL itself.
        concurrency: files that are fetched at the same time, by an event loop.
        cache_bytes: of files that are kept, so that a conversation that goes on is sent the same bytes; 0 keeps none.
        cache_seconds: how long they are kept.
    """

    hosts: tuple[Annotated[Glob, AfterValidator(_lower)], ...] = ()
    schemes: tuple[Literal["https", "http"], ...] = ("https",)
    addresses: tuple[Network, ...] = ()
    max_bytes: Annotated[int, Field(ge=1)] = 10 * 1024 * 1024
    total_bytes: Annotated[int, Field(ge=1)] = 24 * 1024 * 1024
    max_items: Annotated[int, Field(ge=1)] = 20
    timeout: Annotated[float, Field(gt=0, le=600)] = 10
    redirects: Annotated[int, Field(ge=0, le=10)] = 3
    concurrency: Annotated[int, Field(ge=1)] = 8
    cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    cache_seconds: Annotated[float, Field(ge=0)] = 600

    @field_serializer("addresses")
    def _plain(self, value: tuple[Network, ...]) -> list[str]:
        return [str(network) for network in value]
