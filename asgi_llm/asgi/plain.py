"""Endpoints that call no model: the list of models, health, readiness, the root."""

import datetime as dt
from typing import Any

import msgspec

from asgi_llm.dialects.interface import Dialect
from asgi_llm.endpoints import Endpoint
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.exchange import Exchange
from asgi_llm.fleet.listing import Model
from asgi_llm.pipeline.admit import identify
from asgi_llm.pipeline.enforce import permitted
from asgi_llm.pipeline.observe import note_answer
from asgi_llm.pipeline.refuse import refuse
from asgi_llm.runtime import Runtime

from .admin import answer_admin, fleet_state, is_admin
from .caller import ASGICaller
from .dashboard import answer_dashboard
from .diagnose import answer_diagnose
from .metrics import answer_metrics
from .usage import answer_usage

__all__ = ["answer_plain"]


async def answer_plain(runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, rest: str, dialect: Dialect) -> None:
    """Answers ``endpoint``; ``rest`` is the model's id where one was named."""
    request_id = runtime.new_id()
    try:
        answer = await _answer(runtime, caller, endpoint, rest, dialect)
    except AsgiLLMError as error:
        exchange = Exchange(id=request_id, endpoint=endpoint.name, dialect=dialect, started=runtime.loop.time())
        await refuse(exchange, error, caller)
        note_answer(runtime, endpoint.name, exchange.status)
        return
    if answer is None:
        return
    status, value = answer
    note_answer(runtime, endpoint.name, status)
    body = msgspec.json.encode(value)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-llm-request-id", request_id.encode("ascii")),
    ]
    if endpoint.kind == "models" and (missing := runtime.listing.missing):
        headers.append((b"x-llm-partial", ",".join(missing).encode("ascii")))
    await caller.answer(status, headers, b"" if caller.scope["method"] == "HEAD" else body)


async def _answer(
    runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, rest: str, dialect: Dialect
) -> tuple[int, Any] | None:
    """None where it has answered already."""
    match endpoint.kind:
        case "models":
            identity = await identify(runtime, caller)
            models = permitted(runtime, identity, dialect, await runtime.listing.models(runtime.loop.time()))
            return 200, _one(models, rest, dialect) if rest else _list(models, dialect)
        case "ready" if runtime.stopping:
            return 503, {"status": "stopping"}
        case "ready":
            details = {"fleet": fleet_state(runtime.fleet)} if await is_admin(runtime, caller) else {}
            return 200, {"status": "ready"} | _troubles(runtime) | details
        case "admin":
            return await answer_admin(runtime, caller, rest)
        case "diagnose":
            return await answer_diagnose(runtime, caller)
        case "usage":
            return 200, await answer_usage(runtime, caller)
        case "dashboard":
            return await answer_dashboard(runtime, caller, endpoint)
        case "metrics":
            return await answer_metrics(runtime, caller)
        case "health":
            return 200, {"status": "ok"} | _troubles(runtime)
    return 200, {"service": "asgi-llm"}


def _troubles(runtime: Runtime) -> dict[str, str]:
    """What does not work though requests go on; anybody may know that, and no more."""
    if runtime.ledger is not None and (runtime.ledger.failing or runtime.ledger.full):
        return {"ledger": "full" if runtime.ledger.full else "waiting"}
    return {}


def _one(models: list[Model], wanted: str, dialect: Dialect) -> dict[str, Any]:
    for model in models:
        if model.id == wanted:
            return _shape(model, dialect)
    raise ClientError(
        f'there is no model "{wanted[:200]}" here', code="model_not_found", param="model", kind=Kind.NOT_FOUND
    )


def _list(models: list[Model], dialect: Dialect) -> dict[str, Any]:
    data = [_shape(model, dialect) for model in models]
    if dialect.name == "messages":
        ends = {"first_id": models[0].id, "last_id": models[-1].id} if models else {"first_id": None, "last_id": None}
        return {"data": data, "has_more": False, **ends}
    if dialect.name == "gemini":
        return {"models": data}
    return {"object": "list", "data": data}


def _shape(model: Model, dialect: Dialect) -> dict[str, Any]:
    """As the caller's dialect lists a model."""
    if dialect.name == "messages":
        created = dt.datetime.fromtimestamp(model.created, dt.UTC)
        return {
            "type": "model",
            "id": model.id,
            "display_name": model.id,
            "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    if dialect.name == "gemini":
        return {
            "name": f"models/{model.id}",
            "displayName": model.id,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        }
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": model.target}
