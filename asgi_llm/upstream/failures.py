"""How an attempt fails, in the words of ``UpstreamError``: the one place where causes get their kind, code and message.

The messages are shown to callers: no address, no text of the upstream's, no text of the operating system's.
"""

from asgi_llm.errors import Cause, Kind, UpstreamError

__all__ = ["closed", "pool_timeout", "protocol", "reset", "timed_out", "tls", "unreachable"]

_TIMEOUTS = {
    Cause.CONNECT_TIMEOUT: "No connection to the upstream could be made in time.",
    Cause.FIRST_BYTE_TIMEOUT: "The upstream did not begin to answer in time.",
    Cause.IDLE_TIMEOUT: "The upstream fell silent in the middle of the exchange.",
    Cause.TOTAL_TIMEOUT: "The upstream did not finish its answer in time.",
}


def timed_out(cause: Cause) -> UpstreamError:
    """``cause`` is one of the time-outs other than that of the pool, for which see ``pool_timeout``."""
    return UpstreamError(_TIMEOUTS[cause], cause=cause, kind=Kind.TIMEOUT, code="upstream_timeout")


def pool_timeout() -> UpstreamError:
    """Every connection that may be opened is in use, and none came free in time."""
    return UpstreamError(
        "All connections to the upstream are in use.",
        cause=Cause.POOL_TIMEOUT,
        kind=Kind.OVERLOADED,
        code="upstream_busy",
    )


def unreachable() -> UpstreamError:
    """Refused, no route, or the name is not known."""
    return UpstreamError("The upstream could not be reached.", cause=Cause.CONNECT, code="upstream_unreachable")


def closed() -> UpstreamError:
    """The client was closed while, or before, a connection was wanted."""
    return UpstreamError("The upstream client is closed.", cause=Cause.CONNECT, code="upstream_unreachable")


def tls() -> UpstreamError:
    """The handshake failed, on our side or theirs."""
    return UpstreamError(
        "No secure connection to the upstream could be made.", cause=Cause.TLS, code="upstream_unreachable"
    )


def reset(message: str = "The upstream closed the connection before its answer was whole.") -> UpstreamError:
    """The connection ended where the answer had not."""
    return UpstreamError(message, cause=Cause.RESET, code="upstream_reset")


def protocol(message: str = "The upstream's answer is not sound HTTP.") -> UpstreamError:
    """The answer breaks the grammar of HTTP, or a limit on it."""
    return UpstreamError(message, cause=Cause.PROTOCOL, code="upstream_protocol_error")
