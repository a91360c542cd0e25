"""What dependencies raise, told in the dialect of the endpoint that was called."""

from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from asgi_llm.errors import AsgiLLMError, ClientError, Kind, PolicyError
from asgi_llm.types import Message, Send

__all__ = ["as_error", "as_raised"]


def as_error(raised: HTTPException | RequestValidationError) -> AsgiLLMError:
    """The error that says what ``raised`` says. Its code is ``host_refused``, or ``invalid_request`` where a
    dependency's parameters did not validate."""
    if isinstance(raised, RequestValidationError):
        problem: dict[str, Any] = next(iter(raised.errors()), {})
        where = ".".join(str(part) for part in problem.get("loc", ()))
        said = problem.get("msg", "the request is not valid")
        return ClientError(f"{where}: {said}" if where else said, param=where or None, kind=Kind.UNPROCESSABLE)
    status = raised.status_code
    kind = Kind.of_status(status)
    detail: object = raised.detail
    message = detail if isinstance(detail, str) else msgspec.json.encode(detail, enc_hook=str).decode()
    return PolicyError(message, kind=kind, code="host_refused")


def as_raised(send: Send, raised: HTTPException | RequestValidationError) -> Send:
    """A ``send`` that keeps the status and the headers of an ``HTTPException`` whatever the dialect's own would be."""
    if not isinstance(raised, HTTPException):
        return send
    status = raised.status_code
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (raised.headers or {}).items()]
    own = [pair for pair in own if pair[0] not in (b"content-length", b"content-type")]
    named = {name for name, _ in own}

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] not in named]
            message = {**message, "status": status, "headers": headers + own}
        await send(message)

    return tell
