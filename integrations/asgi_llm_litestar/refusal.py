"""What guards, dependencies and middleware raise, told in the dialect of the endpoint that was called."""

from collections.abc import Callable
from typing import Any

from litestar import Request, Response
from litestar import exceptions as own
from litestar.exceptions import HTTPException, ValidationException
from litestar.exceptions.responses import create_exception_response
from litestar.types import ExceptionHandlersMap

from asgi_llm import Gateway
from asgi_llm.errors import AsgiLLMError, ClientError, Kind, PolicyError
from asgi_llm.types import Receive, Scope, Send

from .answer import GatewayResponse, below

__all__ = ["as_error", "refusal", "with_refusal"]


def as_error(raised: HTTPException) -> AsgiLLMError:
    """The error that says what ``raised`` says. Its code is ``host_refused``, or ``invalid_request`` where a
    dependency's parameters did not validate."""
    if isinstance(raised, ValidationException):
        return _invalid(raised)
    status = raised.status_code
    kind = Kind.of_status(status)
    return PolicyError(raised.detail, kind=kind, code="host_refused")


def _invalid(raised: ValidationException) -> ClientError:
    problem = raised.extra[0] if isinstance(raised.extra, list) and raised.extra else {}
    where, said = problem.get("key"), problem.get("message")
    return ClientError(f"{where}: {said}" if where and said else said or raised.detail, param=where)


def refusal(gateway: Gateway, depth: int) -> Callable[[Request[Any, Any, Any], HTTPException], Response[Any]]:
    """The exception handler of the paths ``depth`` segments below which ``gateway`` stands."""

    def refuse(request: Request[Any, Any, Any], raised: HTTPException) -> Response[Any]:
        if raised.status_code < 400:
            return create_exception_response(request, raised)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await gateway.asgi.refuse(below(scope, depth), receive, send, as_error(raised))

        return GatewayResponse(answer, status_code=raised.status_code, headers=raised.headers)

    return refuse


def with_refusal(handlers: ExceptionHandlersMap, refuse: Callable[..., Response[Any]]) -> ExceptionHandlersMap:
    """``handlers`` of an application, with ``refuse`` for Litestar's own HTTP exceptions instead of the application's,
    which were written for people with browsers. Exceptions that the application made up are still its own."""
    kept = {key: value for key, value in handlers.items() if key == 500 or (isinstance(key, type) and not _own(key))}
    return {**kept, HTTPException: refuse}


def _own(kind: type[Exception]) -> bool:
    return issubclass(kind, HTTPException) and getattr(own, kind.__name__, None) is kind
