"""What the project's own code raises to refuse a request, told in the dialect of the endpoint that was called."""

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404

from asgi_llm import AsgiLLMError, PolicyError
from asgi_llm.errors import Kind
from asgi_llm.types import Headers, Message, Send

__all__ = ["as_error", "as_raised"]


def as_error(raised: Exception) -> AsgiLLMError | None:
    """The error that says what ``raised`` says; None if it is no refusal, but a mistake. Knows the exceptions of
    Django, of REST framework and of Django Ninja."""
    match raised:
        case AsgiLLMError():
            return raised
        case PermissionDenied():
            status, detail = 403, str(raised) or "permission denied"
        case Http404():
            status, detail = 404, str(raised) or "not found"
        case RequestDataTooBig():
            status, detail = 413, "the body is larger than the application reads (DATA_UPLOAD_MAX_MEMORY_SIZE)"
        case SuspiciousOperation():
            status, detail = 400, "bad request"
        case _ if isinstance(code := getattr(raised, "status_code", None), int) and 400 <= code < 600:
            status, detail = code, str(getattr(raised, "detail", "") or getattr(raised, "message", "") or "refused")
        case _:
            return None
    kind = Kind.of_status(status)
    return PolicyError(detail, kind=kind, code="host_refused", retry_after=_wait(raised))


def as_raised(send: Send, raised: Exception) -> Send:
    """A ``send`` that keeps the status of an exception that has one, and the challenge that REST framework adds."""
    status: Any = getattr(raised, "status_code", None)
    challenge: Any = getattr(raised, "auth_header", None)
    if not isinstance(status, int):
        return send

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Headers = list(message["headers"])
            if challenge:
                headers = [pair for pair in headers if pair[0] != b"www-authenticate"]
                headers.append((b"www-authenticate", str(challenge).encode("latin-1")))
            message = {**message, "status": status, "headers": headers}
        await send(message)

    return tell


def _wait(raised: Exception) -> float | None:
    wait = getattr(raised, "wait", None)
    return float(wait) if isinstance(wait, int | float) else None
