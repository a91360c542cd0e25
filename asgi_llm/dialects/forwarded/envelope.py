"""The outside of a JSON body of a forwarded endpoint: its model and whether to stream, without the object tree."""

import msgspec

from asgi_llm.dialects.peek import Envelope, read_object
from asgi_llm.dialects.spans import AmbiguousError, members
from asgi_llm.errors import ClientError

from .table import Forwarded

__all__ = ["peek_forwarded", "text_member"]

_options = msgspec.json.Decoder(dict[str, msgspec.Raw])


def peek_forwarded(endpoint: Forwarded, body: bytes, named: str = "") -> Envelope:
    """The envelope of ``body``; ``named`` is the model that the path names, where it does.

    Raises:
        ClientError: no JSON object, a member given twice, the model missing (``model_required``) or no text, or
            ``stream`` no boolean.
    """
    try:
        found = members(body)
    except AmbiguousError:
        read_object(body)
        raise ClientError("a field occurs more than once in the body", code="invalid_json") from None
    raw = {name: body[member.value : member.end] for name, member in found.items() if name in _READ}
    if "{model}" in endpoint.path:
        return Envelope(_path_model(named))
    stream = _stream(raw)
    options = raw.get("stream_options", b"") if endpoint.dialect.hide_usage else b""
    return Envelope(_model(endpoint, raw), stream, _include_usage(options), options)


_READ = frozenset({"model", "stream", "stream_options", "stream_format"})


def text_member(body: bytes, name: str) -> str | None:
    """The top-level member ``name`` where it is a text."""
    try:
        member = members(body).get(name)
        value = msgspec.json.decode(body[member.value : member.end]) if member else None
    except (AmbiguousError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, str) else None


def _path_model(named: str) -> str:
    if not named.strip():
        raise ClientError("model is missing from the path", code="model_required", param="model")
    return named


def _model(endpoint: Forwarded, raw: dict[str, bytes]) -> str:
    if endpoint.model == "none":
        return ""
    value = msgspec.json.decode(raw.get("model", b"null"))
    if isinstance(value, str) and value.strip():
        return value
    if value is None and endpoint.model == "optional":
        return ""
    said = "is missing" if value is None else "is empty" if value == "" else "is no text"
    raise ClientError(f"model {said}; the name of a model is expected", code="model_required", param="model")


def _stream(raw: dict[str, bytes]) -> bool:
    value = raw.get("stream", b"null")
    if value not in (b"true", b"false", b"null"):
        raise ClientError("stream must be true or false", param="stream")
    return value == b"true" or raw.get("stream_format") == b'"sse"'


def _include_usage(options: bytes) -> bool:
    if options in (b"", b"null"):
        return False
    try:
        return _options.decode(options).get("include_usage") == msgspec.Raw(b"true")
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ClientError("stream_options must be an object", param="stream_options") from None
