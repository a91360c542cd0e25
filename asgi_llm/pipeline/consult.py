"""Between the first step and the second: the request is shown to the hooks, and becomes what they make of it.

Whatever is decided later (target, access, quotas, what is sent) is decided about the changed request.
"""

import asyncio

import msgspec
from msgspec import structs

from asgi_llm.dialects.forwarded.envelope import peek_forwarded
from asgi_llm.dialects.peek import peek
from asgi_llm.dialects.restate import restate
from asgi_llm.dialects.splice import set_model
from asgi_llm.errors import ClientError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.hooks import Ask, overrides
from asgi_llm.identity import TARGET_KEY
from asgi_llm.neutral.request import Request, StreamOptions
from asgi_llm.providers.headers import CREDENTIALS
from asgi_llm.runtime import Runtime

from .calling import asking, call
from .inspection import Inspection, answer_hooks

__all__ = ["consult"]

_INLINE = 64 * 1024
"""Bytes of a body that is read on the event loop: about a millisecond."""
_CONSULTED = "asgi_llm.consulted"
"""Scope key: what came of it, for work on the same request that goes on without its caller."""


async def consult(runtime: Runtime, exchange: Exchange, caller: Caller, *, counting: bool) -> None:
    """Fills in what answers are shown to, and changes the request as the hooks want it.

    Raises:
        Refused: a hook says no, or failed and may not be passed over, or will not be able to see the answer.
        ClientError: the body is not what the caller's dialect says.
    """
    if asking():
        return  # a hook asks on its own account; it would be asked about that again, without end
    hooks = runtime.blueprint.hooks
    ask = caller.scope.get(_CONSULTED)
    if ask is None:
        large = len(exchange.body) > _INLINE
        before, partial = await asyncio.to_thread(_ask, exchange, caller) if large else _ask(exchange, caller)
        ask = before
        for hook in hooks:
            if overrides(hook, "on_request"):
                ask = await call(hook, hook.on_request(ask)) or ask
        if ask is not before:
            _apply(exchange, caller, before, ask, partial=partial)
        caller.scope = {**caller.scope, _CONSULTED: ask}
    if not counting and (shown := answer_hooks(hooks, exchange.forward is not None)):
        exchange.inspection = Inspection(ask, shown)
        if exchange.forward is not None and exchange.stream:
            exchange.inspection.refuse_unseen()


def _ask(exchange: Exchange, caller: Caller) -> tuple[Ask, bool]:
    """What the hooks are shown, and whether the conversation has parts that they are not."""
    assert exchange.envelope is not None  # noqa: S101  # admit() filled it in
    request, partial, payload = None, False, None
    if exchange.forward is None:
        request, partial = _decoded(exchange, exchange.envelope.model)
    elif exchange.body and exchange.forward.endpoint.body == "json":
        payload = msgspec.json.decode(exchange.body)
    ask = Ask(
        id=exchange.id,
        identity=exchange.identity,
        endpoint=exchange.endpoint,
        dialect=exchange.dialect.name,
        model=exchange.envelope.model,
        stream=exchange.stream,
        request=request,
        payload=payload,
        headers={name: value for name, value in caller.fields.items() if name not in CREDENTIALS},
        target=caller.scope.get(TARGET_KEY),
        notes={},
    )
    return ask, partial


def _decoded(exchange: Exchange, model: str) -> tuple[Request, bool]:
    body, partial = exchange.body, False
    if b'"item_reference"' in body and exchange.dialect.name == "responses":
        body, partial = _without_references(body)
    request = exchange.dialect.decode_request(body)
    if not exchange.dialect.names_model:
        request = structs.replace(request, model=model, stream=StreamOptions(on=exchange.stream))
    return request, partial


def _without_references(body: bytes) -> tuple[bytes, bool]:
    """Without the items that only name what was said, and was shown to the hooks, earlier."""
    said = msgspec.json.decode(body)
    items = said.get("input")
    if not isinstance(items, list):
        return body, False
    kept = [item for item in items if not (isinstance(item, dict) and item.get("type") == "item_reference")]
    if len(kept) == len(items):
        return body, False
    return msgspec.json.encode({**said, "input": kept}), True


def _apply(exchange: Exchange, caller: Caller, before: Ask, after: Ask, *, partial: bool) -> None:
    if after.target != before.target:
        caller.scope = {**caller.scope, TARGET_KEY: after.target}
    if exchange.forward is not None:
        _apply_payload(exchange, before, after)
    elif after.request is not None and after.request is not before.request:
        _apply_request(exchange, before.request, after.request, partial=partial)


def _apply_request(exchange: Exchange, before: Request | None, after: Request, *, partial: bool) -> None:
    dialect, envelope = exchange.dialect, exchange.envelope
    assert before is not None  # noqa: S101  # it was shown to the hooks
    assert envelope is not None  # noqa: S101
    if partial and after.turns != before.turns:
        raise ClientError(
            "this gateway changes conversations, which it cannot do with item references; send the items themselves",
            code="unsupported_content",
            param="input",
        )
    model = after.model
    after = structs.replace(after, model=before.model, stream=before.stream)
    if after != before:
        body = exchange.body if dialect.unwrap is None else dialect.unwrap(exchange.body)
        exchange.body = restate(dialect, body, before, after)
    if not dialect.names_model:
        exchange.envelope = structs.replace(envelope, model=model, plain=False, said=None)
        return
    if model != before.model:
        exchange.body = set_model(exchange.body, model)
    exchange.envelope = peek(dialect.name, exchange.body)


def _apply_payload(exchange: Exchange, before: Ask, after: Ask) -> None:
    forward, envelope = exchange.forward, exchange.envelope
    assert forward is not None  # noqa: S101  # asked by the caller
    assert envelope is not None  # noqa: S101
    if after.payload is not before.payload:
        exchange.body = msgspec.json.encode(after.payload)
        exchange.envelope = peek_forwarded(forward.endpoint, exchange.body, exchange.named)
    if after.model != before.model:
        if isinstance(after.payload, dict) and "model" in after.payload:
            exchange.body = msgspec.json.encode({**after.payload, "model": after.model})
        exchange.envelope = structs.replace(exchange.envelope or envelope, model=after.model)
