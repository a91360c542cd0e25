"""What an upstream says about the gateway's own account is nobody else's business: that its key was refused, or that
nothing is left to pay with. To callers it is unavailable. About a key of their own they are told."""

from asgi_llm.errors import Kind, UpstreamError
from asgi_llm.exchange import Exchange

__all__ = ["masked"]


def masked(exchange: Exchange, error: UpstreamError) -> UpstreamError:
    """``error`` as the caller is told of it."""
    refused, unpaid = error.code == "upstream_authentication", error.kind is Kind.BILLING
    if not (refused or unpaid) or (exchange.leg is not None and exchange.leg.credentials):
        return error
    told = UpstreamError(
        error.message if refused else "The upstream cannot be used by this gateway now.",
        cause=error.cause,
        kind=Kind.OVERLOADED,
        code="upstream_authentication" if refused else "upstream_billing",
        retry_after=error.retry_after,
        upstream_status=error.upstream_status,
    )
    # Who keeps asking the gateway cannot mend it.
    told.should_retry = bool(error.should_retry)
    return told
