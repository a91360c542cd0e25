"""What is sent to a leg: the caller's bytes with what must change spliced in, or a translation of them.

Where a patch of the caller's bytes is not enough, its dialect is translated to itself.
"""

from urllib.parse import quote

from msgspec import Struct, structs

from asgi_llm.dialects.caps import clamp, read_cap
from asgi_llm.dialects.direct import Pair
from asgi_llm.dialects.interface import Restore, Warned
from asgi_llm.dialects.splice import ask_for_usage, set_model
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.neutral.request import Request, StreamOptions
from asgi_llm.types import Headers
from asgi_llm.upstream.interface import UpstreamRequest

from .forward import rename_contents, use_own_ids
from .plan import Leg

__all__ = ["Outgoing", "decoded", "prepare"]


class Outgoing(Struct, frozen=True, gc=False):
    """``hide_usage`` when usage was asked for on the gateway's own account; ``direct`` is the short cut by which the
    request was translated, and by which its answer may be. ``translated`` when the answer must be, too."""

    request: UpstreamRequest
    translated: bool = False
    hide_usage: bool = False
    warnings: tuple[Warned, ...] = ()
    restore: Restore = Restore()
    direct: Pair | None = None


def prepare(exchange: Exchange, leg: Leg, caller: Caller) -> Outgoing:
    """The request for ``leg``, made anew from the original for each leg.

    Raises:
        ClientError: the body is not what the caller's dialect says (found only when it must be translated), or the
            leg's dialect cannot express it.
    """
    envelope = exchange.envelope
    assert envelope is not None  # noqa: S101  # admit() filled it in
    if leg.passes or (leg.passes_plain and envelope.plain and not exchange.fetched):
        return _verbatim(exchange, leg, caller, exchange.body)
    if leg.cap is not None and (leg.forwarded is None or exchange.endpoint == "completions"):
        return _capped(exchange, leg, leg.cap, caller)
    return _prepared(exchange, leg, caller, exchange.body)


def _prepared(exchange: Exchange, leg: Leg, caller: Caller, body: bytes) -> Outgoing:
    if leg.forwarded is not None:
        return _forwarded(exchange, leg, caller, body)
    if leg.mode == "translated" or (exchange.fetched and leg.mode == "patched"):
        return _translated(exchange, leg, caller, body)
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    if leg.patcher is None or (leg.passes_plain and exchange.envelope.plain):
        return _verbatim(exchange, leg, caller, body)
    patched = leg.patcher.patch(body)
    if patched is None:
        return _translated(exchange, leg, caller, body)
    return _verbatim(exchange, leg, caller, patched.body, patched.warnings)


_FIELDS = {"messages": "max_tokens", "responses": "max_output_tokens", "gemini": "maxOutputTokens"}
_CAPPED = Warned("max_output", "clamp", "The answer is limited to fewer tokens than the request asks for.")


def _capped(exchange: Exchange, leg: Leg, cap: int, caller: Caller) -> Outgoing:
    """With an answer of at most ``cap`` tokens. Where the request sets itself no limit, it gets that one."""
    dialect = exchange.dialect.name
    chat = "max_completion_tokens" if leg.mode == "translated" else leg.crew.target.profile.max_tokens_field
    if leg.forwarded is not None:
        chat = "max_tokens"
    body = clamp(dialect, exchange.body, cap, _FIELDS.get(dialect, chat))
    outgoing = _prepared(exchange, leg, caller, body)
    asked = read_cap(dialect, exchange.body)
    if asked is not None and body != exchange.body:
        outgoing = structs.replace(outgoing, warnings=(*outgoing.warnings, _CAPPED))
    return outgoing


def _forwarded(exchange: Exchange, leg: Leg, caller: Caller, body: bytes) -> Outgoing:
    forward, timeouts = exchange.forward, leg.crew.target.answer_timeouts
    assert forward is not None  # noqa: S101  # there is no such leg without it
    headers = leg.allowed.passing(caller.headers)
    if (upload := forward.upload) is not None:
        upload.rename(leg.model)
        headers.append((b"content-type", upload.content_type))
        return Outgoing(UpstreamRequest(b"POST", leg.path, headers, b"", timeouts, leg.fixed, upload))
    if leg.adapter is not None:
        return Outgoing(_request(leg, headers, leg.adapter.request(exchange.body, leg.model), False), translated=True)
    pin = forward.pin
    if forward.endpoint.body == "none":
        path = leg.path if pin is None else leg.path.replace(b"{id}", quote(pin.id, safe="").encode("ascii"))
        return Outgoing(UpstreamRequest(forward.method, path, headers, b"", timeouts, leg.fixed))
    if pin is not None:
        return Outgoing(_request(leg, headers, use_own_ids(exchange.body, pin), False))
    if not leg.dialect.names_model:
        return _verbatim(exchange, leg, caller, rename_contents(exchange.body, leg.model))
    return _verbatim(exchange, leg, caller, body)


def _verbatim(exchange: Exchange, leg: Leg, caller: Caller, body: bytes, warnings: tuple[Warned, ...] = ()) -> Outgoing:
    envelope, dialect = exchange.envelope, leg.dialect
    assert envelope is not None  # noqa: S101  # admit() filled it in
    hide_usage = False
    if envelope.stream and dialect.hide_usage and not envelope.include_usage and leg.crew.target.profile.stream_usage:
        body, hide_usage = ask_for_usage(body, envelope.stream_options), True
    if leg.model != envelope.model and dialect.names_model:
        body = set_model(body, leg.model)
    if dialect.clean is not None and not envelope.plain:
        body = dialect.clean(body)
    request = _request(leg, leg.allowed.passing(caller.headers), body, envelope.stream)
    return Outgoing(request, False, hide_usage, warnings)


def _translated(exchange: Exchange, leg: Leg, caller: Caller, body: bytes) -> Outgoing:
    envelope, profile = exchange.envelope, leg.crew.target.profile
    assert envelope is not None  # noqa: S101  # admit() filled it in
    if (
        leg.direct is not None
        and envelope.said is not None
        and leg.cap is None
        and (told := leg.direct.request(body, envelope.said, leg.model, profile)) is not None
    ):
        request = _request(leg, leg.allowed.passing(caller.headers), told, envelope.stream)
        return Outgoing(request, translated=True, direct=leg.direct)
    asked = decoded(exchange)
    if leg.cap is not None:
        asked = structs.replace(asked, max_output=min(asked.max_output or leg.cap, leg.cap))
    if asked.model != leg.model:
        asked = structs.replace(asked, model=leg.model)
    encoded = leg.dialect.encode_request(asked, profile)
    headers = leg.allowed.passing(caller.headers)
    said = {name for name, _ in headers}
    headers += [pair for pair in encoded.headers if pair[0] not in said]
    request = _request(leg, headers, encoded.body, asked.stream.on)
    return Outgoing(request, translated=True, warnings=encoded.warnings, restore=encoded.restore)


def decoded(exchange: Exchange) -> Request:
    """The caller's request in neutral form, decoded once.

    Raises:
        ClientError: the body is not what the caller's dialect says.
    """
    asked = exchange.request
    if asked is None:
        asked = exchange.dialect.decode_request(exchange.body)
        if not exchange.dialect.names_model:
            assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
            stream = StreamOptions(on=exchange.envelope.stream)
            asked = structs.replace(asked, model=exchange.envelope.model, stream=stream)
        exchange.request = asked
    return asked


def _request(leg: Leg, headers: Headers, body: bytes, stream: bool) -> UpstreamRequest:
    target = leg.crew.target
    if leg.defaults:
        present = {name for name, _ in headers}
        headers += [pair for pair in leg.defaults if pair[0] not in present]
    if stream:
        return UpstreamRequest(b"POST", leg.stream_path, headers, body, target.stream_timeouts, leg.fixed)
    return UpstreamRequest(b"POST", leg.path, headers, body, target.answer_timeouts, leg.fixed)
