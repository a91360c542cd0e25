"""Counting the tokens of a request: what the dialects that can ask for it have in common.

A counting endpoint is a dialect of its own: its request is an ordinary one less what does not count, and its answer is
one number, which stands as the input of an answer that says nothing else.
"""

from collections.abc import Set as AbstractSet
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, structs

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.request import Request, StreamOptions
from asgi_llm.neutral.response import Response
from asgi_llm.neutral.usage import Usage

from .interface import Encoded

__all__ = ["count_in", "counted", "only", "question", "read_count"]

_members = msgspec.json.Decoder(dict[str, Raw])
_count = msgspec.json.Decoder(Annotated[int, Meta(ge=0)])


def question(request: Request) -> Request:
    """``request`` without what is about its answer alone."""
    return structs.replace(request, max_output=None, stream=StreamOptions())


def only(encoded: Encoded, members: AbstractSet[str]) -> Encoded:
    """``encoded`` with those ``members`` of its body that the counting endpoint takes."""
    body = {name: value for name, value in _members.decode(encoded.body).items() if name in members}
    return structs.replace(encoded, body=msgspec.json.encode(body))


def counted(tokens: int) -> Response:
    """The neutral form of a count."""
    return Response(id="", model="", candidates=(), usage=Usage(fresh=tokens))


def count_in(response: Response) -> int:
    """What ``counted`` put in."""
    return 0 if response.usage is None else response.usage.input


def read_count(body: bytes, member: str) -> Response:
    """The count that an upstream answered with, under its name for it.

    Raises:
        UpstreamError: cause ``content``: there is none, or it is no count.
    """
    try:
        return counted(_count.decode(_members.decode(body)[member]))
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamError(
            "the upstream did not answer with a count of tokens", cause=Cause.CONTENT, code="upstream_invalid_answer"
        ) from None
