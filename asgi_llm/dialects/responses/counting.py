"""Counting tokens. Spec: OpenAI Responses API, "Get input token counts"."""

import msgspec

from asgi_llm.dialects.counting import count_in, only, question, read_count
from asgi_llm.dialects.interface import Answer, Encoded, Profile, Restore
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response

from .encode import encode_request
from .request import decode_request

__all__ = ["decode_count", "decode_question", "encode_count", "encode_question"]

_TAKEN = frozenset(
    {
        "conversation", "input", "instructions", "model", "parallel_tool_calls", "personality", "previous_response_id",
        "reasoning", "text", "tool_choice", "tools", "truncation",
    }
)  # fmt: skip


def decode_question(body: bytes) -> Request:
    return question(decode_request(body))


def encode_question(request: Request, profile: Profile) -> Encoded:
    return only(encode_request(request, profile), _TAKEN)


def decode_count(body: bytes, _restore: Restore) -> Response:
    return read_count(body, "input_tokens")


def encode_count(response: Response, _answer: Answer) -> bytes:
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count_in(response)})
