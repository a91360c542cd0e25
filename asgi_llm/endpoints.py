"""The table of endpoints: what the gateway answers, where, and in whose dialect.

Those that are no dialect's come from ``dialects/forwarded``, with all that the pipeline must know of them.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from asgi_llm.dialects.forwarded import FORWARDED, Forwarded
from asgi_llm.errors import ConfigError, Problem
from asgi_llm.neutral.request import DialectName
from asgi_llm.settings import EndpointSettings

__all__ = ["DASHBOARD", "ENDPOINTS", "METRICS", "STORED", "Endpoint", "EndpointKind", "Table"]

EndpointKind = Literal[
    "admin", "call", "count", "dashboard", "forward", "stored", "metrics", "models", "usage", "health", "ready",
    "diagnose", "root",
]  # fmt: skip


class Endpoint(Struct, frozen=True):
    """``path`` is the canonical one, below the mount; ``{model}`` in it stands for a model's name, ``{id}`` for that of
    something an upstream keeps. ``dialect`` is what its callers speak; None where that shows in the request only.
    ``stream``: its answer is a stream, whatever the body says. ``forwarded`` where the kind is ``forward``."""

    name: str
    path: str
    methods: frozenset[str]
    kind: EndpointKind
    summary: str
    dialect: DialectName | None = None
    stream: bool = False
    forwarded: Forwarded | None = None

    @property
    def public(self) -> bool:
        """Whether it answers anybody, as probes come without a user."""
        return self.kind in ("health", "ready", "root")


_POST = frozenset({"POST"})
_READ = frozenset({"GET", "HEAD"})

ENDPOINTS = (
    Endpoint("chat_completions", "/v1/chat/completions", _POST, "call", "Create a chat completion", "chat"),
    Endpoint("messages", "/v1/messages", _POST, "call", "Create a message", "messages"),
    Endpoint("responses", "/v1/responses", _POST, "call", "Create a response", "responses"),
    Endpoint("generate_content", "/v1beta/models/{model}:generateContent", _POST, "call", "Generate content", "gemini"),
    Endpoint(
        "stream_generate_content",
        "/v1beta/models/{model}:streamGenerateContent",
        _POST,
        "call",
        "Generate content, streamed",
        "gemini",
        stream=True,
    ),
    Endpoint(
        "messages_count_tokens",
        "/v1/messages/count_tokens",
        _POST,
        "count",
        "Count the tokens of a message",
        "messages",
    ),
    Endpoint(
        "responses_input_tokens",
        "/v1/responses/input_tokens",
        _POST,
        "count",
        "Count the input tokens of a response",
        "responses",
    ),
    Endpoint(
        "count_tokens", "/v1beta/models/{model}:countTokens", _POST, "count", "Count the tokens of contents", "gemini"
    ),
    *(
        Endpoint(item.name, item.path, item.methods, "forward", item.summary, item.dialect.name, forwarded=item)
        for item in FORWARDED
    ),
    Endpoint("models", "/v1/models", _READ, "models", "List the models that may be used"),
    Endpoint("usage", "/v1/usage", _READ, "usage", "What the caller has used"),
    Endpoint("health", "/health", _READ, "health", "Whether the gateway runs"),
    Endpoint("ready", "/ready", _READ, "ready", "Whether the gateway takes requests"),
    Endpoint(
        "diagnose", "/diagnose", _READ | _POST, "diagnose", "A short stream that calls no model, for `asgi-llm doctor`"
    ),
    Endpoint("root", "/", _READ, "root", "Answers clients that look whether anything is here"),
)

_READ_DELETE = frozenset({"GET", "HEAD", "DELETE"})
_READ_POST = frozenset({"GET", "HEAD", "POST"})

STORED = (
    Endpoint("response_compact", "/v1/responses/compact", _POST, "stored", "Compact a conversation", "responses"),
    Endpoint("response", "/v1/responses/{id}", _READ_DELETE, "stored", "A kept response", "responses"),
    Endpoint("response_cancel", "/v1/responses/{id}/cancel", _POST, "stored", "Cancel a response", "responses"),
    Endpoint(
        "response_input_items",
        "/v1/responses/{id}/input_items",
        _READ,
        "stored",
        "The input of a response",
        "responses",
    ),
    Endpoint("conversations", "/v1/conversations", _POST, "stored", "Create a conversation", "responses"),
    Endpoint(
        "conversation",
        "/v1/conversations/{id}",
        _READ_DELETE | _POST,
        "stored",
        "A conversation",
        "responses",
    ),
    Endpoint(
        "conversation_items",
        "/v1/conversations/{id}/items",
        _READ_POST,
        "stored",
        "The items of a conversation",
        "responses",
    ),
    Endpoint(
        "conversation_item",
        "/v1/conversations/{id}/items/{item}",
        _READ_DELETE,
        "stored",
        "An item of a conversation",
        "responses",
    ),
)
"""What there is besides where responses are kept; ``{id}`` and ``{item}`` stand for one segment each."""

METRICS = Endpoint("metrics", "/metrics", _READ, "metrics", "Metrics for Prometheus")
DASHBOARD = (
    Endpoint("dashboard", "/dashboard", _READ, "dashboard", "A page that shows how the gateway does"),
    Endpoint("dashboard", "/dashboard/script.js", _READ, "dashboard", "Its script"),
    Endpoint("dashboard", "/dashboard/style.css", _READ, "dashboard", "Its style"),
    Endpoint("dashboard_data", "/dashboard/data", _READ, "dashboard", "What that page shows"),
)
"""What is there only where the settings say so, and for operators: not among those that hosts document."""

_ALWAYS = frozenset({"ready", "root"})


_VERSIONS = ("", "/v1", "/v1beta", "/v1alpha", "/v1beta1")
_COLLECTIONS = ("/models", "/publishers/google/models")
"""Where models are found below a version: Google's two products have one each."""


class Table:
    """Finds the endpoint of a path: the canonical one, without its ``/v1``, or behind one of the prefixes. With
    ``stored``, those of what is kept, too; and those in ``more``, where their path says."""

    __slots__ = ("_collections", "_kept", "_paths", "_stored", "_verbs", "served")

    def __init__(self, settings: EndpointSettings, *, stored: bool = False, more: Iterable[Endpoint] = ()) -> None:
        """
        Raises:
            ConfigError: ``disable`` names what is no endpoint, or one that is always there.
        """
        disabled = set(settings.disable)
        _check_names(settings.disable)
        self.served = tuple(item for item in ENDPOINTS if item.name in _ALWAYS or item.name not in disabled)
        self._paths: dict[str, Endpoint] = {}
        self._verbs = {endpoint.path.rpartition(":")[2]: endpoint for endpoint in self.served if ":" in endpoint.path}
        prefixes = ("", *settings.prefixes.values())
        roots = [prefix + version for prefix in prefixes for version in _VERSIONS]
        self._collections = tuple(f"{root}{collection}/" for root in roots for collection in _COLLECTIONS)
        self._kept: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.served:
            if "/{id}" in endpoint.path:
                before, _, behind = endpoint.path.partition("{id}")
                for root in roots:
                    self._kept.setdefault(root + before.removeprefix("/v1"), {})[behind] = endpoint
                continue
            for path in _spellings(endpoint):
                for prefix in prefixes:
                    self._paths[prefix + path if path != "/" else prefix or "/"] = endpoint
        self._paths |= {endpoint.path: endpoint for endpoint in more}
        self._stored: dict[tuple[str, ...], Endpoint] = {}
        if stored and "responses" not in disabled:
            below = [prefix + version for prefix in prefixes for version in ("", "/v1")]
            self._stored = {_shape(start + item.path[3:]): item for start in below for item in STORED}
            self.served += STORED

    def find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint at ``path`` and the name of the model, or the id, in it; empty where there is none."""
        endpoint = self._paths.get(path)
        if endpoint is not None:
            return endpoint, ""
        for prefix in self._collections:
            if path.startswith(prefix):
                return self._in_collection(prefix, path[len(prefix) :])
        return self._with_id(path) or (self._find_stored(path) if self._stored else None)

    def _with_id(self, path: str) -> tuple[Endpoint, str] | None:
        for before, tails in self._kept.items():
            if path.startswith(before):
                name, slash, behind = path[len(before) :].partition("/")
                endpoint = tails.get(slash + behind)
                return None if endpoint is None or not name else (endpoint, name)
        return None

    def _find_stored(self, path: str) -> tuple[Endpoint, str] | None:
        segments = path.split("/")
        if "" in segments[1:]:
            return None
        # Ids stand behind the name of a collection, wherever that stands itself.
        for place, segment in enumerate(segments):
            if segment in ("responses", "conversations"):
                if (endpoint := self._stored.get(tuple(segments))) is not None:
                    return endpoint, ""
                shape = segments.copy()
                shape[place + 1 :: 2] = ["*"] * len(segments[place + 1 :: 2])
                if (endpoint := self._stored.get(tuple(shape))) is not None:
                    return endpoint, "/".join(segments[place + 1 :: 2])
        return None

    def _in_collection(self, prefix: str, rest: str) -> tuple[Endpoint, str] | None:
        # Names of models may hold colons themselves, so only what is known to be a verb is one.
        model, _, verb = rest.rpartition(":")
        if (endpoint := self._verbs.get(verb)) is not None:
            return endpoint, model
        listing = self._paths.get(prefix[:-1])
        return None if listing is None else (listing, rest)


def _shape(path: str) -> tuple[str, ...]:
    return tuple("*" if segment.startswith("{") else segment for segment in path.split("/"))


def _spellings(endpoint: Endpoint) -> tuple[str, ...]:
    path = endpoint.path
    if endpoint.kind == "models":
        return tuple(version + collection for version in _VERSIONS for collection in _COLLECTIONS)
    if "{model}" in path:
        return ()
    others = endpoint.forwarded.others if endpoint.forwarded is not None else ()
    return (path, *others, path.removeprefix("/v1")) if path.startswith("/v1/") else (path, *others)


def _check_names(disable: tuple[str, ...]) -> None:
    names = [endpoint.name for endpoint in ENDPOINTS if endpoint.name not in _ALWAYS]
    problems = [
        Problem(f"endpoints.disable[{position}]", f'"{name}" is none of {", ".join(names)}')
        for position, name in enumerate(disable)
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)
