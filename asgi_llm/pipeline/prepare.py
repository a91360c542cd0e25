"""What is sent to a leg: the caller's bytes with what must change spliced in, or a translation of them."""

from msgspec import Struct, structs

from asgi_llm.dialects.interface import Restore, Warned
from asgi_llm.dialects.splice import ask_for_usage, set_model
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.providers.headers import Allowed
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamRequest

from .plan import Leg

__all__ = ["Outgoing", "prepare"]


class Outgoing(Struct, frozen=True, gc=False):
    """``hide_usage`` when usage was asked for on the gateway's own account."""

    request: UpstreamRequest
    hide_usage: bool = False
    warnings: tuple[Warned, ...] = ()
    restore: Restore = Restore()


def prepare(exchange: Exchange, leg: Leg, caller: Caller) -> Outgoing:
    """The request for ``leg``, made anew from the original for each leg.

    Raises:
        ClientError: the body is not what the caller's dialect says (found only when it must be translated), or the
            leg's dialect cannot express it.
    """
    return _verbatim(exchange, leg, caller) if leg.mode == "verbatim" else _translated(exchange, leg, caller)


def _verbatim(exchange: Exchange, leg: Leg, caller: Caller) -> Outgoing:
    envelope = exchange.envelope
    assert envelope is not None  # noqa: S101  # admit() filled it in
    target, body = leg.crew.target, exchange.body
    hide_usage = False
    if envelope.stream and leg.dialect.hide_usage and not envelope.include_usage and target.profile.stream_usage:
        body, hide_usage = ask_for_usage(body, envelope.stream_options), True
    if leg.model != envelope.model:
        body = set_model(body, leg.model)
    if leg.dialect.clean is not None:
        body = leg.dialect.clean(body)
    headers = _headers(leg, caller, target.forwarded[leg.dialect.name])
    return Outgoing(_request(leg, headers, body, stream=envelope.stream), hide_usage)


def _translated(exchange: Exchange, leg: Leg, caller: Caller) -> Outgoing:
    if exchange.request is None:
        exchange.request = exchange.dialect.decode_request(exchange.body)
    asked = exchange.request
    if asked.model != leg.model:
        asked = structs.replace(asked, model=leg.model)
    target = leg.crew.target
    encoded = leg.dialect.encode_request(asked, target.profile)
    headers = _headers(leg, caller, target.forwarded_foreign, encoded.headers)
    return Outgoing(
        _request(leg, headers, encoded.body, stream=asked.stream.on),
        warnings=encoded.warnings,
        restore=encoded.restore,
    )


def _request(leg: Leg, headers: Headers, body: bytes, *, stream: bool) -> UpstreamRequest:
    target = leg.crew.target
    timeouts = target.stream_timeouts if stream else target.answer_timeouts
    return UpstreamRequest(b"POST", target.provider.paths[leg.dialect.name], headers, body, timeouts)


def _headers(leg: Leg, caller: Caller, allowed: Allowed, encoded: Headers | None = None) -> Headers:
    target = leg.crew.target
    own = target.headers[leg.dialect.name]
    headers = [*own, *(encoded or ())]
    headers += allowed.passing(caller.headers)
    if fixed := target.provider.fixed_headers.get(leg.dialect.name):
        present = {name for name, _ in headers}
        headers += [pair for pair in fixed if pair[0] not in present]
    return headers
