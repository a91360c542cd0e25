"""What differs where an endpoint is forwarded: how its request is read, and whose the ids in its answer are.

The steps are those of any request; they ask here where an exchange has a ``forward``.
"""

from urllib.parse import parse_qs

import msgspec

from asgi_llm.dialects.forwarded.answer import check_answer
from asgi_llm.dialects.forwarded.envelope import peek_forwarded, text_member
from asgi_llm.dialects.peek import Envelope
from asgi_llm.dialects.spans import AmbiguousError, Edits, items, members
from asgi_llm.errors import Cause, ClientError, Kind, UpstreamError
from asgi_llm.exchange import Caller, Exchange, Forward
from asgi_llm.neutral.usage import Usage
from asgi_llm.routing.pins import Pin, Pins
from asgi_llm.routing.retry import NOT_TAKEN_UP
from asgi_llm.runtime import Runtime
from asgi_llm.types import Headers

from .plan import Leg
from .upload import open_upload

__all__ = [
    "may_try_again",
    "passes",
    "read_request",
    "read_whole",
    "reads_as_text",
    "rename_contents",
    "sign_ids",
    "use_own_ids",
]

_IDS = ("id", "input_file_id", "output_file_id", "error_file_id")
"""Members that name what an upstream keeps."""


async def read_request(runtime: Runtime, exchange: Exchange, caller: Caller, forward: Forward) -> None:
    """Fills in body, envelope and stream.

    Raises:
        ClientError: the body is not what the endpoint takes, or an id in it, or in the path, is not known.
    """
    limits = runtime.blueprint.settings.limits
    endpoint = forward.endpoint
    if endpoint.body == "form":
        forward.upload = upload = await open_upload(runtime, caller, model=endpoint.model != "none")
        model = upload.field("model")
        if not model and endpoint.model == "needed":
            raise ClientError("model is missing; the name of a model is expected", code="model_required", param="model")
        stream = upload.field("stream").lower() == "true" or upload.field("stream_format") == "sse"
        exchange.envelope = Envelope(model, stream)
    else:
        exchange.body = await caller.body(limits.body)
        if endpoint.body == "json":
            exchange.envelope = peek_forwarded(endpoint, exchange.body, exchange.named)
        else:
            exchange.envelope = Envelope("")
    if endpoint.model == "none" and endpoint.pin in (None, "answer"):
        # Nothing in the request names a model, but the route of one can be asked for.
        exchange.envelope = Envelope(parse_qs(caller.scope["query_string"].decode("latin-1")).get("model", [""])[0])
    exchange.stream = exchange.envelope.stream
    if endpoint.pin in ("path", "body"):
        forward.pin = _pin(runtime.blueprint.pins, exchange, endpoint.pin == "path")


def _pin(pins: Pins, exchange: Exchange, in_path: bool) -> Pin:
    given = exchange.named if in_path else text_member(exchange.body, "input_file_id")
    found = pins.read(given, exchange.identity.tenant) if given else None
    if found is None:
        param = "id" if in_path else "input_file_id"
        raise ClientError(
            f'there is no "{(given or "")[:100]}" here', code="not_found", param=param, kind=Kind.NOT_FOUND
        )
    return found


def reads_as_text(headers: Headers) -> bool:
    """Whether an answer may be words; sound and pictures say what they are."""
    declared = next((value for name, value in headers if name == b"content-type"), b"")
    return not declared.lower().startswith((b"audio/", b"image/", b"video/"))


def use_own_ids(body: bytes, pin: Pin) -> bytes:
    """``body`` with the upstream's own id of the file that a batch is made of."""
    member = members(body)["input_file_id"]
    return body[: member.value] + msgspec.json.encode(pin.id) + body[member.end :]


def rename_contents(body: bytes, model: str) -> bytes:
    """``body`` with ``model`` wherever it repeats the model that its path names: it is the one that was permitted.

    Raises:
        ClientError: a member is given twice, or the body has another shape.
    """
    edits, name = Edits(body), msgspec.json.encode(model if "/" in model else f"models/{model}")
    try:
        found = members(body)
        objects = [found]
        if requests := found.get("requests"):
            objects += [members(body, span.start, span.end) for span in items(body, requests.value, requests.end)]
    except (AmbiguousError, msgspec.DecodeError):
        raise ClientError("requests must be a list of objects that name each member once", param="requests") from None
    for each in objects:
        if member := each.get("model"):
            edits.replace(member.value, member.end, name)
    return edits.apply()


def sign_ids(pins: Pins, body: bytes, target: str, tenant: str) -> bytes:
    """``body`` of an answer with ids that the caller can come back with.

    Raises:
        UpstreamError: cause ``content``: the answer cannot be read.
    """
    edits = Edits(body)
    try:
        found = members(body)
        for name in _IDS:
            if (member := found.get(name)) is None:
                continue
            own = msgspec.json.decode(body[member.value : member.end])
            if isinstance(own, str) and own:
                edits.replace(member.value, member.end, msgspec.json.encode(pins.sign(target, tenant, own)))
    except (AmbiguousError, msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamError(
            "the upstream did not answer with a JSON object", cause=Cause.CONTENT, code="upstream_invalid_answer"
        ) from None
    return edits.apply()


def passes(leg: Leg, headers: Headers) -> bool:
    """Whether an answer passes piece by piece as what it is: speech, subtitles, files."""
    if leg.forwarded is None or leg.forwarded.whole:
        return False
    declared = next((value for name, value in headers if name == b"content-type"), b"")
    # What a file holds is the file's, also where that is JSON.
    return leg.forwarded.pin is not None or not declared.lower().startswith(b"application/json")


def read_whole(exchange: Exchange, leg: Leg, body: bytes) -> tuple[Usage | None, bytes | None]:
    """What a JSON answer used, and it in the caller's words where the upstream has others.

    Raises:
        UpstreamError: it is none, or reports an error.
    """
    if not body and leg.forwarded is not None and not leg.forwarded.whole:
        return None, None
    usage = check_answer(body)
    if leg.adapter is None:
        return usage, None
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    told = leg.adapter.answer(body, exchange.body, exchange.envelope.model)
    return told.usage, told.body


def may_try_again(exchange: Exchange, error: UpstreamError) -> bool:
    """Whether the request can be sent once more, and would do no more than once what it is to do."""
    forward = exchange.forward
    if forward is None:
        return True
    if forward.upload is not None and forward.upload.spent:
        return False
    if forward.endpoint.pin is None or forward.method == b"GET":
        return True
    # A second file, or a second batch, would be kept and paid for.
    return error.cause in NOT_TAKEN_UP or error.upstream_status in (429, 503)
