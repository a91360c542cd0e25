"""Counting tokens. The body is ``{contents}``, or a whole request under ``generateContentRequest``, which repeats the
model that the path names. Spec: Gemini API, "models.countTokens".
"""

import msgspec
from msgspec import Raw, Struct, field, structs

from asgi_llm.dialects.counting import count_in, question, read_count
from asgi_llm.dialects.interface import Answer, Encoded, Profile, Restore
from asgi_llm.dialects.splice import member_span, replace_member
from asgi_llm.errors import ClientError
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response

from .encode_request import encode_request
from .request import decode_request

__all__ = ["decode_count", "decode_question", "encode_count", "encode_question", "name_model", "unwrap"]

_MEMBERS = ("generateContentRequest", "generate_content_request")
_NULL = Raw(b"null")


class _Wrapper(Struct, gc=False):
    camel: Raw = field(name=_MEMBERS[0], default=_NULL)
    snake: Raw = field(name=_MEMBERS[1], default=_NULL)


class _Inner(Struct, gc=False):
    model: str | None = None


_wrapper = msgspec.json.Decoder(_Wrapper)
_inner = msgspec.json.Decoder(_Inner)


def unwrap(body: bytes) -> bytes:
    """The request in ``body``: what it wraps, else itself.

    Raises:
        ClientError: what it wraps is no object.
    """
    request = _wrapped(body)
    if request is None:
        return body
    if memoryview(request)[0] != ord("{"):
        raise ClientError(f"{_MEMBERS[0]} must be an object", param=_MEMBERS[0])
    return bytes(request)


def name_model(body: bytes, model: str) -> bytes:
    """``body`` with the model of the request that it wraps, if it names another one."""
    request = _wrapped(body)
    try:
        named = None if request is None else _inner.decode(request).model
    except (msgspec.DecodeError, UnicodeDecodeError):  # no name, so nothing goes by it
        return body
    name = f"models/{model}"
    if named is None or named == name:
        return body
    for member in _MEMBERS:
        for start, end in reversed(member_span(body, member)):
            inner = replace_member(body[start:end], "model", msgspec.json.encode(name))
            body = b"%b%b%b" % (body[:start], inner, body[end:])
    return body


def decode_question(body: bytes) -> Request:
    return question(decode_request(unwrap(body)))


def encode_question(request: Request, profile: Profile) -> Encoded:
    encoded = encode_request(request, profile)
    name = msgspec.json.encode(f"models/{request.model}")
    body = b'{"%b":{"model":%b,%b}' % (_MEMBERS[0].encode(), name, encoded.body[1:])
    return structs.replace(encoded, body=body)


def decode_count(body: bytes, _restore: Restore) -> Response:
    return read_count(body, "totalTokens")


def encode_count(response: Response, _answer: Answer) -> bytes:
    return msgspec.json.encode({"totalTokens": count_in(response)})


def _wrapped(body: bytes) -> Raw | None:
    try:
        found = _wrapper.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    request = found.camel if found.camel != _NULL else found.snake
    return None if request == _NULL else request
