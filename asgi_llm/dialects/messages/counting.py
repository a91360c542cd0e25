"""Counting tokens. Spec: Anthropic Messages API, "Count tokens in a Message"."""

import msgspec

from asgi_llm.dialects.counting import count_in, only, question, read_count
from asgi_llm.dialects.interface import Answer, Encoded, Profile, Restore
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response

from .encode_request import encode_request
from .request import decode_request

__all__ = ["decode_count", "decode_question", "encode_count", "encode_question"]

_TAKEN = frozenset(
    {"cache_control", "messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"}
)


def decode_question(body: bytes) -> Request:
    """As ``decode_request``, but ``max_tokens`` is not needed."""
    # Put in as the first member it is what counts only where no other follows.
    return question(decode_request(body.replace(b"{", b'{"max_tokens":1,', 1)))


def encode_question(request: Request, profile: Profile) -> Encoded:
    return only(encode_request(request, profile), _TAKEN)


def decode_count(body: bytes, _restore: Restore) -> Response:
    return read_count(body, "input_tokens")


def encode_count(response: Response, _answer: Answer) -> bytes:
    return msgspec.json.encode({"input_tokens": count_in(response)})
