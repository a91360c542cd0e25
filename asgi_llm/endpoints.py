"""The table of endpoints: what the gateway answers, where, and in whose dialect."""

from typing import Literal

from msgspec import Struct

from asgi_llm.neutral.request import DialectName
from asgi_llm.settings import EndpointSettings

__all__ = ["ENDPOINTS", "Endpoint", "EndpointKind", "Table"]

EndpointKind = Literal["call", "models", "health", "ready", "root"]


class Endpoint(Struct, frozen=True):
    """``path`` is the canonical one, below the mount. ``dialect`` is what its callers speak; None where that shows in
    the request only."""

    name: str
    path: str
    methods: frozenset[str]
    kind: EndpointKind
    summary: str
    dialect: DialectName | None = None


_POST = frozenset({"POST"})
_READ = frozenset({"GET", "HEAD"})

ENDPOINTS = (
    Endpoint("chat_completions", "/v1/chat/completions", _POST, "call", "Create a chat completion", "chat"),
    Endpoint("messages", "/v1/messages", _POST, "call", "Create a message", "messages"),
    Endpoint("responses", "/v1/responses", _POST, "call", "Create a response", "responses"),
    Endpoint("models", "/v1/models", _READ, "models", "List the models that may be used"),
    Endpoint("health", "/health", _READ, "health", "Whether the gateway runs"),
    Endpoint("ready", "/ready", _READ, "ready", "Whether the gateway takes requests"),
    Endpoint("root", "/", _READ, "root", "Answers clients that look whether anything is here"),
)

_ALWAYS = frozenset({"ready", "root"})


class Table:
    """Finds the endpoint of a path: the canonical one, without its ``/v1``, or behind one of the prefixes."""

    __slots__ = ("_models", "_paths", "served")

    def __init__(self, settings: EndpointSettings) -> None:
        disabled = set(settings.disable)
        self.served = tuple(item for item in ENDPOINTS if item.name in _ALWAYS or item.name not in disabled)
        self._paths: dict[str, Endpoint] = {}
        self._models: tuple[str, ...] = ()
        for prefix in ("", *settings.prefixes.values()):
            for endpoint in self.served:
                for path in _spellings(endpoint.path):
                    self._paths[prefix + path if path != "/" else prefix or "/"] = endpoint
                    if endpoint.kind == "models":
                        self._models += (f"{prefix}{path}/",)

    def find(self, path: str) -> tuple[Endpoint, str] | None:
        """The endpoint at ``path`` and what stands behind it: a model's id, or nothing."""
        endpoint = self._paths.get(path)
        if endpoint is not None:
            return endpoint, ""
        for prefix in self._models:
            if path.startswith(prefix):
                return self._paths[prefix[:-1]], path[len(prefix) :]
        return None


def _spellings(path: str) -> tuple[str, ...]:
    return (path, path.removeprefix("/v1")) if path.startswith("/v1/") else (path,)
