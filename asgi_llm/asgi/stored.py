"""Endpoints of what is kept: responses and conversations by their ids."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from asgi_llm.dialects.interface import Dialect
from asgi_llm.endpoints import Endpoint
from asgi_llm.errors import AsgiLLMError, ClientError, Kind
from asgi_llm.exchange import CallerGone, Exchange, HostRefusal
from asgi_llm.history import conversations, responses
from asgi_llm.history.elsewhere import answer_elsewhere
from asgi_llm.history.history import History
from asgi_llm.history.views import read_page
from asgi_llm.pipeline.admit import identify
from asgi_llm.pipeline.cancellation import forget_cancellation
from asgi_llm.pipeline.enforce import check_endpoint
from asgi_llm.pipeline.head import stream_head
from asgi_llm.pipeline.observe import note_answer
from asgi_llm.pipeline.refuse import refuse
from asgi_llm.runtime import Runtime
from asgi_llm.stores.scope import Scope
from asgi_llm.types import Headers

from .caller import ASGICaller

__all__ = ["answer_stored"]

logger = logging.getLogger("asgi_llm")

_TRUE = (b"true", b"1")


async def answer_stored(runtime: Runtime, caller: ASGICaller, endpoint: Endpoint, rest: str, dialect: Dialect) -> None:
    """Answers ``endpoint``; ``rest`` holds the ids of the path, with a slash between them."""
    exchange = Exchange(id=runtime.new_id(), endpoint=endpoint.name, dialect=dialect, started=runtime.loop.time())
    runtime.active += 1
    try:
        exchange.identity = await identify(runtime, caller)
        check_endpoint(runtime, exchange.identity, endpoint.name, dialect)
        history = _history(runtime)
        body = await caller.body(runtime.blueprint.settings.limits.body)  # from then on its leaving is heard
        scope = Scope.of(exchange.identity)
        status = 200
        if endpoint.name == "response_compact":
            exchange.body = body
            status, answer = await responses.compact(runtime, history, exchange, caller)
        elif history.settings.native == "verbatim" and await answer_elsewhere(
            runtime, history, exchange, caller, rest, body
        ):
            return
        elif endpoint.name == "response" and _streams(caller):
            pieces = await responses.stream(history, scope, rest, _after(caller))
            exchange.status = 200
            await caller.start(200, stream_head(exchange, []))
            async for piece in pieces:
                await caller.send(piece)
            await caller.finish()
            return
        else:
            value = await _answer(history, scope, endpoint, rest, caller, body)
            answer = value if isinstance(value, bytes) else msgspec.json.encode(value)
        headers: Headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
            (b"x-llm-request-id", exchange.id.encode("ascii")),
            (b"x-request-id", exchange.id.encode("ascii")),
        ]
        exchange.status = status
        await caller.answer(status, headers, b"" if caller.scope["method"] == "HEAD" else answer)
    except AsgiLLMError as error:
        await refuse(exchange, error, caller)
    except CallerGone:
        pass
    except HostRefusal as refusal:
        raise refusal.raised from None
    except asyncio.CancelledError:
        if not caller.gone:
            raise
        forget_cancellation()
    except Exception as error:
        if caller.gone:
            return
        logger.exception("request %s failed", exchange.id)
        said = f"the gateway failed ({type(error).__name__}); the details are in its log"
        await refuse(exchange, AsgiLLMError(said, kind=Kind.SERVER, code="internal_error"), caller)
    finally:
        caller.close()
        runtime.active -= 1
        if runtime.stopping:
            runtime.left()
        note_answer(runtime, endpoint.name, exchange.status)


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


def _history(runtime: Runtime) -> History:
    """
    Raises:
        ClientError: the settings changed, and nothing is kept any more.
    """
    history = None if runtime.history is None else runtime.history.history
    if history is None:
        raise ClientError("nothing is kept here", code="unknown_endpoint", kind=Kind.NOT_FOUND)
    return history


def _streams(caller: ASGICaller) -> bool:
    wanted = parse_qs(caller.scope["query_string"]).get(b"stream", [b""])[-1] in _TRUE
    return wanted and caller.scope["method"] == "GET"


def _after(caller: ASGICaller) -> int | None:
    """
    Raises:
        ClientError: what the stream is to be taken up after is no number.
    """
    said = parse_qs(caller.scope["query_string"]).get(b"starting_after", [None])[-1]
    if said is None:
        return None
    if not said.isdigit() or len(said) > 10:
        raise ClientError("starting_after: expected the number of an event.", param="starting_after")
    return int(said)
