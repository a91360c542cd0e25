"""The error tree. The first split is who is to blame.

    AsgiLLMError
    +-- ConfigError        the host developer: settings that cannot work, each problem with its path
    +-- ClientError        the caller: a request that is malformed or names what does not exist
    |   +-- TranslationError   the caller asked for something the chosen upstream cannot express
    +-- PolicyError        the rules: not authenticated, not permitted, over a limit
    +-- UpstreamError      the upstream: unreachable, slow, broken, or it said no itself
    +-- StoreError         the gateway's own store: unreachable, locked or too slow

Every error carries a ``kind`` (what a dialect maps to its own status and type), a stable snake_case ``code``
and a ``message`` that is safe to show: no internal address, credential or stack. Only ``dialects/*/errors.py``
knows how an error is printed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which knows more than errors do
    from asgi_llm.neutral.usage import Usage

__all__ = [
    "AsgiLLMError",
    "Cause",
    "ClientError",
    "ConfigError",
    "Kind",
    "PolicyError",
    "Problem",
    "StoreError",
    "TranslationError",
    "UpstreamError",
]


class Kind(StrEnum):
    """What went wrong, in words that every dialect has an answer for."""

    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNPROCESSABLE = "unprocessable"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"
    BAD_GATEWAY = "bad_gateway"

    @property
    def status(self) -> int:
        """The HTTP status of this kind where a dialect has no status of its own for it."""
        return _STATUS[self]

    @classmethod
    def of_status(cls, status: int) -> "Kind":
        """What an HTTP status says went wrong, where nothing else tells."""
        return _OF_STATUS.get(status, cls.BAD_REQUEST if status < 500 else cls.SERVER)


_STATUS = {
    Kind.BAD_REQUEST: 400,
    Kind.CONTEXT_LENGTH: 400,
    Kind.AUTHENTICATION: 401,
    Kind.PERMISSION: 403,
    Kind.BILLING: 402,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED_MEDIA_TYPE: 415,
    Kind.UNPROCESSABLE: 422,
    Kind.RATE_LIMIT: 429,
    Kind.SERVER: 500,
    Kind.BAD_GATEWAY: 502,
    Kind.OVERLOADED: 503,
    Kind.TIMEOUT: 504,
}
_OF_STATUS = {status: kind for kind, status in reversed(_STATUS.items())} | {529: Kind.OVERLOADED}


class Cause(StrEnum):
    """How an attempt on an upstream failed; retry, breaker and metrics decide by it."""

    CONNECT = "connect"
    """No connection: refused, unreachable, name not resolved."""
    TLS = "tls"
    """The TLS handshake failed."""
    CONNECT_TIMEOUT = "connect_timeout"
    POOL_TIMEOUT = "pool_timeout"
    """No connection of the worker's pool came free in time."""
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RESET = "reset"
    """The connection was reset or closed before the answer was whole."""
    PROTOCOL = "protocol"
    """What came is not HTTP/1.1, or breaks the limits on it."""
    CONTENT = "content"
    """The answer is whole HTTP, but not what the dialect says it must be (HTML, broken JSON, an empty stream)."""
    STATUS = "status"
    """The upstream answered with an error status."""
    IN_BAND = "in_band"
    """The upstream reported an error inside a 200 answer."""
    TRUNCATED = "truncated"
    """A stream ended without its terminal event."""
    UNAVAILABLE = "unavailable"
    """No worker was fit to be asked."""


class AsgiLLMError(Exception):
    """Base of all errors this package raises on purpose.

    Attributes:
        kind: what went wrong, mapped to a status and type by each dialect.
        code: stable, snake_case, part of the public contract.
        message: safe to show to the caller.
        param: the request field at fault, as the caller spelled its path, or None.
        retry_after: seconds after which a retry may work, or None.
    """

    kind: Kind
    code: str

    def __init__(
        self,
        message: str,
        *,
        kind: Kind,
        code: str,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status outside any dialect."""
        return self.kind.status


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the settings: where (``targets.openai.base_url``) and what is wrong there."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(AsgiLLMError):
    """The settings cannot work. Carries every problem found, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the settings of asgi-llm:\n{lines}", kind=Kind.SERVER, code="config_error")


class ClientError(AsgiLLMError):
    """The caller's request is at fault."""

    def __init__(
        self, message: str, *, code: str = "invalid_request", param: str | None = None, kind: Kind = Kind.BAD_REQUEST
    ) -> None:
        super().__init__(message, kind=kind, code=code, param=param)


class TranslationError(ClientError):
    """The chosen upstream cannot express what the request asks for; ``param`` names the field."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "unsupported_content") -> None:
        super().__init__(message, code=code, param=param)


class PolicyError(AsgiLLMError):
    """A rule of this gateway says no."""


class StoreError(AsgiLLMError):
    """The gateway's own store did not work; what went wrong is in ``__cause__``, for the log only."""

    def __init__(self, message: str = "the gateway's store is not available; try again later") -> None:
        super().__init__(message, kind=Kind.OVERLOADED, code="store_unavailable", retry_after=5)

    @property
    def reason(self) -> str:
        """What went wrong, in one line: for whoever runs the gateway, never for callers."""
        return str(self.__cause__ or self).partition("\n")[0]


class UpstreamError(AsgiLLMError):
    """An attempt on an upstream failed.

    Attributes:
        cause: how it failed.
        upstream_status: the HTTP status the upstream answered with, or None.
        body: the upstream's own error body, forwarded as it is when the dialects match, or None.
        content_type: the content type of ``body``, or None.
        should_retry: what the upstream said of asking again (``x-should-retry``), or None.
        resent: the request was sent twice, since the first connection had been idle and ended without a word.
        headers: what the upstream said beside it that callers of its own dialect may know, its rate limits for one.
        usage: what the attempt used all the same, where the upstream said so.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: Cause,
        kind: Kind = Kind.BAD_GATEWAY,
        code: str = "upstream_error",
        param: str | None = None,
        retry_after: float | None = None,
        upstream_status: int | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(message, kind=kind, code=code, param=param, retry_after=retry_after)
        self.cause = cause
        self.upstream_status = upstream_status
        self.body = body
        self.content_type = content_type
        self.should_retry: bool | None = None
        self.resent = False
        self.headers: list[tuple[bytes, bytes]] = []
        self.usage: Usage | None = None
