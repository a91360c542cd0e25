"""Endpoints of what is kept: responses and conversations by their ids."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from asgi_llm.dialects.interface import Dialect
from asgi_llm.endpoints import Endpoint
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.exchange import CallerGone, Exchange, HostRefusal
from asgi_llm.history import conversations, responses
from asgi_llm.history.history import History
from asgi_llm.history.views import read_page
from asgi_llm.pipeline.admit import identify
from asgi_llm.pipeline.enforce import check_endpoint
from asgi_llm.pipeline.refuse import refuse
from asgi_llm.runtime import Runtime
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers

from .caller import ASGICaller

__all__ = ["answer_stored"]

_TRUE = (b"true", b"1")


async def answer_stored(runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, rest: str, dialect: Dialect) -> None:
    """Answers ``endpoint``; ``rest`` holds the ids of the path, with a slash between them."""
    exchange = Exchange(id=runtime.new_id(), endpoint=endpoint.name, dialect=dialect, started=runtime.loop.time())
    runtime.enter()
    try:
        exchange.identity = await identify(runtime, caller)
        check_endpoint(runtime, exchange.identity, endpoint.name, dialect)
        history = None if runtime.history is None else runtime.history.history
        if history is None:
            raise ClientError("nothing is kept here", code="unknown_endpoint", kind=Kind.NOT_FOUND)
        body = b""
        if caller.scope["method"] == "POST":
            body = await caller.body(runtime.blueprint.settings.limits.body)
        scope = Scope.of(exchange.identity)
        status, kind, said = 200, b"application/json", b""
        if endpoint.name == "response_compact":
            exchange.body = body
            status, said = await responses.compact(runtime, history, exchange, caller)
        elif endpoint.name == "response" and _streams(caller) and caller.scope["method"] != "DELETE":
            kind, said = dialect.stream_type, await responses.replay(history, scope, rest)
        else:
            value = await _answer(history, scope, endpoint, rest, caller, body)
            said = value if isinstance(value, bytes) else msgspec.json.encode(value)
        headers: Headers = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(said)),
            (b"x-llm-request-id", exchange.id.encode("ascii")),
            (b"x-request-id", exchange.id.encode("ascii")),
        ]
        await caller.answer(status, headers, b"" if caller.scope["method"] == "HEAD" else said)
    except AsgiLLMError as error:
        await refuse(exchange, error, caller)
    except CallerGone:
        pass
    except HostRefusal as refusal:
        raise refusal.raised from None
    finally:
        runtime.leave()


async def _answer(
    history: History, scope: Scope, endpoint: Endpoint, rest: str, caller: ASGICaller, body: bytes
) -> Mapping[str, Any] | bytes:
    name, _, second = rest.partition("/")
    query = caller.scope["query_string"]
    match endpoint.name, caller.scope["method"]:
        case "response", "DELETE":
            return await responses.delete(history, scope, name)
        case "response", _:
            return bytes((await responses.load(history, scope, name)).response)
        case "response_cancel", _:
            return bytes((await responses.cancel(history, scope, name)).response)
        case "response_input_items", _:
            return await responses.input_items(history, scope, name, read_page(query))
        case "conversations", _:
            return await conversations.create(history, scope, body)
        case "conversation", "DELETE":
            return await conversations.delete(history, scope, name)
        case "conversation", "POST":
            return await conversations.change(history, scope, name, body)
        case "conversation", _:
            return await conversations.show(history, scope, name)
        case "conversation_items", "POST":
            return await conversations.add_items(history, scope, name, body)
        case "conversation_items", _:
            return await conversations.items(history, scope, name, read_page(query))
        case "conversation_item", "DELETE":
            return await conversations.delete_item(history, scope, name, second)
    return await conversations.item(history, scope, name, second)


def _streams(caller: ASGICaller) -> bool:
    """
    Raises:
        ClientError: a stream is to be taken up in the middle, and it was not recorded.
    """
    query = parse_qs(caller.scope["query_string"])
    if query.get(b"stream", [b""])[-1] not in _TRUE:
        return False
    if b"starting_after" in query:
        raise ClientError(
            "Only the streams of responses that run in the background can be taken up in the middle.",
            code="response_not_resumable",
            param="starting_after",
        )
    return True
