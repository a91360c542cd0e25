"""Is a 200 what it says it is? Errors inside good statuses, pages instead of answers, streams that end at once."""

from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import Raw, Struct, field

from asgi_llm.dialects.interface import Dialect, Restore
from asgi_llm.dialects.money import with_gateway
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.usage import Usage
from asgi_llm.types import Headers

__all__ = ["check_first", "check_whole", "told_usage"]


class _Outside(Struct, gc=False):
    """``usage_metadata`` is what Gemini calls it."""

    error: Raw = Raw()
    type: Raw = Raw()
    usage: Raw = Raw()
    usage_metadata: Raw = field(name="usageMetadata", default=Raw())


_outside = msgspec.json.Decoder(_Outside)
_ERROR = Raw(b'"error"')


def check_whole(
    dialect: Dialect, headers: Headers, body: bytes
) -> tuple[Callable[[], Usage | None] | None, UpstreamError | None]:
    """What reads how much an answer says that it used, and the failure that it tells of itself, where that is an answer
    all the same and passes as it is. It must be a JSON object that reports no error.

    Raises:
        UpstreamError: cause ``content`` or ``in_band``.
    """
    try:
        outside = _outside.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _listed_error(dialect, body) or _not_an_answer(headers) from None
    failure = None
    if outside.error or outside.type == _ERROR:
        _check_error(dialect, outside, body)
        if bytes(outside.error) != b"null":
            failure = _failure(dialect, body)
    usage = outside.usage or outside.usage_metadata
    return partial(_used, dialect, usage, body) if usage else None, failure


def _listed_error(dialect: Dialect, body: bytes) -> UpstreamError | None:
    """The error that Google sends as the one element of a list, where that is what ``body`` is."""
    failure = _failure(dialect, body) if body.lstrip()[:1] == b"[" else None
    return failure if failure is not None and failure.cause is Cause.IN_BAND else None


def told_usage(dialect: Dialect, body: bytes) -> Usage | None:
    """What a body says that was used, whether or not it is an answer."""
    try:
        outside = _outside.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    usage = outside.usage or outside.usage_metadata
    return _used(dialect, usage, body) if usage else None


def _used(dialect: Dialect, usage: Raw, body: bytes) -> Usage | None:
    return with_gateway(dialect.usage(usage), body)


def _failure(dialect: Dialect, body: bytes) -> UpstreamError | None:
    try:
        dialect.decode_response(body, Restore())
    except UpstreamError as error:
        return error
    return None


def _check_error(dialect: Dialect, outside: _Outside, body: bytes) -> None:
    # A whole response object of the Responses API has an error member of its own, and that is an answer.
    reported = dialect.name in ("chat", "gemini") and bytes(outside.error) not in (b"", b"null")
    if reported or outside.type == _ERROR:
        dialect.decode_response(body, Restore())
        raise UpstreamError("the upstream reported an error", cause=Cause.IN_BAND)


def check_first(dialect: Dialect, first: bytes) -> None:
    """A stream must begin with an event that is not an error.

    Raises:
        UpstreamError: cause ``truncated`` (it ended at once) or ``in_band``.
    """
    if not first:
        raise UpstreamError("the upstream's stream ended before it began", cause=Cause.TRUNCATED)
    if first.find(b'"error"') < 0 and first.find(b"event: error") < 0:
        return
    watcher = dialect.watcher()
    watcher.feed(first)
    if watcher.failure is not None:
        watcher.failure.usage = watcher.usage
        raise watcher.failure


def _not_an_answer(headers: Headers) -> UpstreamError:
    declared = next((value for name, value in headers if name == b"content-type"), b"nothing")
    media_type = declared.partition(b";")[0].decode("latin-1")[:60]
    return UpstreamError(
        f"the upstream did not answer with a JSON object (it declared {media_type})",
        cause=Cause.CONTENT,
        code="upstream_invalid_answer",
    )
