"""Which way an answer came, in one header: for whoever looks into a gateway from outside, if the settings let them.

The words are those of ``explain``. Nothing in it comes from the caller, and no address: workers have names.
"""

from asgi_llm.exchange import Attempt, Exchange

__all__ = ["tell_route"]

_MOST = 1000
"""Characters; the middle of a long story is left out by cutting its end."""


def tell_route(exchange: Exchange) -> bytes:
    """The value of ``x-llm-route``, as far as is known by now."""
    plan, leg = exchange.plan, exchange.leg
    assert plan is not None  # noqa: S101  # its settings asked for this
    said = [f"rung={plan.resolution.rung}"]
    if plan.resolution.route is not None:
        said.append(f'route="{plan.resolution.route}"')
    if leg is not None:
        said += [f"leg={leg.number}", f"target={leg.crew.target.name}", f"mode={leg.mode}"]
    if (served := exchange.served) is not None:
        said.append(f"worker={served.worker}")
        said.append(f"why={exchange.why}")
        said.append(f'attempts="{", ".join(map(_told, exchange.attempts))}"')
    return "; ".join(said)[:_MOST].encode("ascii", "replace")


def _told(attempt: Attempt) -> str:
    status = f" {attempt.status}" if attempt.result == "status" else ""
    key = "" if attempt.key is None else f" key {attempt.key}"
    resent = " resent" if attempt.resent else ""
    return f"{attempt.worker}{key} {attempt.result}{status}{resent}"
