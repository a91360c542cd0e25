"""What a provider is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from asgi_llm.dialects.forwarded.embeddings import Adapter
from asgi_llm.dialects.interface import Profile
from asgi_llm.neutral.request import DialectName
from asgi_llm.types import Headers

__all__ = ["Provider", "bearer", "rooted", "versioned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One kind of upstream.

    Attributes:
        name: as in the settings.
        title: as people call it.
        base_url: its own address, or None where only the user knows it.
        dialects: what it speaks; the first is preferred when none matches the caller's.
        paths: dialect -> path behind the base URL; ``{model}`` in it stands for the model's name.
        stream_paths: the same for streams, where they have another one.
        count_paths: dialect -> path at which it counts the tokens of a request, where it may have one.
        endpoints: forwarded endpoint -> path at which it serves it; ``{model}`` and ``{id}`` stand for names in it.
        adapters: forwarded endpoint -> what turns it into one that this provider has.
        models_path: where it lists its models, or None.
        models_dialect: the shape of that list.
        credentials: API key -> the one header that carries it.
        key_variable: the environment variable in which its key is commonly kept, or None.
        models: globs of the names of its own models, by which a request can be told to be for it.
        rebase: completes a base URL that users commonly give without its version segment.
        profile: what it takes beyond its dialect.
        fixed_headers: dialect -> headers that every request of that dialect needs, unless the caller sent them.
        listing: what genai-prices calls it, or None where it has no prices of its own (an engine, a gateway).
        embedded: runs in process; no HTTP client is opened.
        health_path: where it tells whether it is well, or None for hosts that are not probed.
        strict_models: refuses names of models that it does not list.
        rank_header, rank_field: the header, or the member of the body, that says which data-parallel rank is meant.
        pairing: how a prefill and a decode worker of it are told to work together: by the address at which they meet,
            or by what the first hands over.
        load_paths, load_format: where it tells how much it has to do, the newest first, and in which format.
    """

    name: str
    title: str = ""
    base_url: str | None = None
    dialects: tuple[DialectName, ...]
    paths: Mapping[DialectName, bytes]
    stream_paths: Mapping[DialectName, bytes] = field(default_factory=dict)
    count_paths: Mapping[DialectName, bytes] = field(default_factory=dict)
    endpoints: Mapping[str, bytes] = field(default_factory=dict)
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    models_path: bytes | None = b"/models"
    models_dialect: Literal["chat", "messages", "gemini"] = "chat"
    credentials: Callable[[str], Headers]
    key_variable: str | None = None
    models: tuple[str, ...] = ()
    rebase: Callable[[str], str] = str
    profile: Profile = field(default_factory=Profile)
    fixed_headers: Mapping[DialectName, Headers] = field(default_factory=dict)
    listing: str | None = None
    embedded: bool = False
    health_path: bytes | None = None
    strict_models: bool = False
    rank_header: bytes | None = None
    rank_field: str | None = None
    pairing: Literal["bootstrap", "transfer"] | None = None
    load_paths: tuple[bytes, ...] = ()
    load_format: Literal["vllm", "sglang"] | None = None


def bearer(key: str) -> Headers:
    return [(b"authorization", b"Bearer " + key.encode("ascii"))]


def versioned(url: str) -> str:
    """``url`` with ``/v1`` where it has no path at all; a path somebody wrote is meant."""
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"


def rooted(*tails: str) -> Callable[[str], str]:
    """For a provider whose dialects live in different places of one host: the address without the ``tails`` by which
    its documentation names each of them."""

    def rebase(url: str) -> str:
        bare = url.rstrip("/")
        for tail in tails:
            if bare.endswith(tail):
                return bare.removesuffix(tail)
        return bare

    return rebase
