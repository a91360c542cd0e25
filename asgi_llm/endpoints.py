"""The table of endpoints: what the gateway answers, where, and in whose dialect."""

from typing import Literal

from msgspec import Struct

from asgi_llm.neutral.request import DialectName
from asgi_llm.settings import EndpointSettings

__all__ = ["ENDPOINTS", "Endpoint", "EndpointKind", "Table"]

EndpointKind = Literal["admin", "call", "count", "models", "health", "ready", "root"]


class Endpoint(Struct, frozen=True):
    """``path`` is the canonical one, below the mount; ``{model}`` in it stands for a model's name. ``dialect`` is what
    its callers speak; None where that shows in the request only. ``stream``: its answer is a stream, whatever the body
    says."""

    name: str
    path: str
    methods: frozenset[str]
    kind: EndpointKind
    summary: str
    dialect: DialectName | None = None
    stream: bool = False

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
    Endpoint("models", "/v1/models", _READ, "models", "List the models that may be used"),
    Endpoint("health", "/health", _READ, "health", "Whether the gateway runs"),
    Endpoint("ready", "/ready", _READ, "ready", "Whether the gateway takes requests"),
    Endpoint("root", "/", _READ, "root", "Answers clients that look whether anything is here"),
)

_ALWAYS = frozenset({"ready", "root"})


_VERSIONS = ("", "/v1", "/v1beta", "/v1alpha", "/v1beta1")
_COLLECTIONS = ("/models", "/publishers/google/models")
"""Where models are found below a version: Google's two products have one each."""


class Table:
    """Finds the endpoint of a path: the canonical one, without its ``/v1``, or behind one of the prefixes."""

    __slots__ = ("_collections", "_paths", "_verbs", "served")

    def __init__(self, settings: EndpointSettings) -> None:
        disabled = set(settings.disable)
        self.served = tuple(item for item in ENDPOINTS if item.name in _ALWAYS or item.name not in disabled)
        self._paths: dict[str, Endpoint] = {}
        self._verbs = {endpoint.path.rpartition(":")[2]: endpoint for endpoint in self.served if ":" in endpoint.path}
        prefixes = ("", *settings.prefixes.values())
        roots = [prefix + version for prefix in prefixes for version in _VERSIONS]
        self._collections = tuple(f"{root}{collection}/" for root in roots for collection in _COLLECTIONS)
        for endpoint in self.served:
            for path in _spellings(endpoint):
                for prefix in prefixes:
                    self._paths[prefix + path if path != "/" else prefix or "/"] = endpoint

    def find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint at ``path`` and the name of the model in it, empty where there is none."""
        endpoint = self._paths.get(path)
        if endpoint is not None:
            return endpoint, ""
        for prefix in self._collections:
            if path.startswith(prefix):
                return self._in_collection(prefix, path[len(prefix) :])
        return None

    def _in_collection(self, prefix: str, rest: str) -> tuple[Endpoint, str] | None:
        # Names of models may hold colons themselves, so only what is known to be a verb is one.
        model, _, verb = rest.rpartition(":")
        if (endpoint := self._verbs.get(verb)) is not None:
            return endpoint, model
        listing = self._paths.get(prefix[:-1])
        return None if listing is None else (listing, rest)


def _spellings(endpoint: Endpoint) -> tuple[str, ...]:
    path = endpoint.path
    if endpoint.kind == "models":
        return tuple(version + collection for version in _VERSIONS for collection in _COLLECTIONS)
    if "{model}" in path:
        return ()
    return (path, path.removeprefix("/v1")) if path.startswith("/v1/") else (path,)
