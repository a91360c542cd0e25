"""Which headers cross the gateway. By allow-list in both directions; credentials never.

A caller's headers pass only to an upstream of the same dialect: there they belong to the protocol (versions, betas,
session ids that caches and agents go by). To any other upstream only the trace context passes.
"""

from collections.abc import Callable, Iterable, Mapping

from asgi_llm.neutral.request import DialectName
from asgi_llm.types import Headers

__all__ = ["CREDENTIALS", "TRACE", "Allowed", "request_headers", "returned_headers"]

TRACE = frozenset({b"traceparent", b"tracestate"})
"""Without ``baggage``: what applications tell each other in it is no business of a provider's."""

_OPENAI = frozenset(
    {b"openai-beta", b"originator", b"session-id", b"session_id", b"thread-id", b"x-client-request-id", b"user-agent",
     b"x-session-affinity", b"x-session-id"}
)  # fmt: skip
_REQUEST: Mapping[str, tuple[frozenset[bytes], tuple[bytes, ...]]] = {
    "chat": (_OPENAI, (b"x-stainless-",)),
    "responses": (_OPENAI, (b"x-stainless-", b"x-codex-")),
    "messages": (frozenset({b"x-app", b"user-agent"}), (b"anthropic-", b"x-claude-code-", b"x-stainless-")),
    "gemini": (frozenset({b"x-goog-api-client", b"user-agent"}), ()),
}
_RESPONSE: Mapping[str, tuple[frozenset[bytes], tuple[bytes, ...]]] = {
    "chat": (frozenset({b"x-request-id", b"openai-processing-ms", b"openai-version"}), (b"x-ratelimit-",)),
    "responses": (frozenset({b"x-request-id", b"openai-processing-ms", b"openai-version"}), (b"x-ratelimit-",)),
    "messages": (frozenset({b"request-id"}), (b"anthropic-ratelimit-",)),
    "gemini": (frozenset(), ()),
}
_ALWAYS_BACK = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
CREDENTIALS = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"proxy-authorization"}
)
_FRAMING = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"connection",
     b"accept-encoding", b"expect", b"te", b"trailer", b"upgrade", b"keep-alive"}
)  # fmt: skip

_VERDICTS = 256
"""Most names remembered."""


class Allowed:
    """A compiled allow-list: exact names, prefixes, and further patterns of the user's. Remembers its verdicts, for
    the same few names come with every request; the memory is bounded because names are the caller's to invent."""

    __slots__ = ("_exact", "_patterns", "_prefixes", "_verdicts")

    def __init__(
        self,
        exact: frozenset[bytes],
        prefixes: tuple[bytes, ...] = (),
        patterns: Iterable[Callable[[str], object]] = (),
    ) -> None:
        self._exact = exact
        self._prefixes = prefixes
        self._patterns = tuple(patterns)
        self._verdicts: dict[bytes, bool] = {}

    def passing(self, headers: Headers) -> Headers:
        """Those of ``headers`` that may pass, in their order."""
        known = self._verdicts
        try:
            return [pair for pair in headers if known[pair[0]]]
        except KeyError:
            return [pair for pair in headers if self._learn(pair[0])]

    def _learn(self, name: bytes) -> bool:
        verdict = self._verdicts.get(name)
        if verdict is not None:
            return verdict
        verdict = self._judge(name)
        if len(self._verdicts) < _VERDICTS:
            self._verdicts[name] = verdict
        return verdict

    def _judge(self, name: bytes) -> bool:
        if name in CREDENTIALS or name in _FRAMING:
            return False
        if name in self._exact or name.startswith(self._prefixes):
            return True
        text = name.decode("latin-1")
        return any(matches(text) for matches in self._patterns)


def request_headers(dialect: DialectName | None, patterns: Iterable[Callable[[str], object]] = ()) -> Allowed:
    """What passes to an upstream that speaks the caller's ``dialect``; with None, to one that speaks another."""
    if dialect is None:
        return Allowed(TRACE)
    exact, prefixes = _REQUEST[dialect]
    return Allowed(exact | TRACE, prefixes, patterns)


_back = {name: Allowed(exact | _ALWAYS_BACK, prefixes) for name, (exact, prefixes) in _RESPONSE.items()}
_back_foreign = Allowed(_ALWAYS_BACK)


def returned_headers(dialect: DialectName | None) -> Allowed:
    """What the caller may see of the upstream's headers; ``dialect`` is None when the upstream spoke another."""
    return _back_foreign if dialect is None else _back[dialect]
