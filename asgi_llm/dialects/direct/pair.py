"""What a short cut between two dialects offers."""

from collections.abc import Callable
from dataclasses import dataclass

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.peek import PlainMessages
from asgi_llm.neutral.usage import Usage

__all__ = ["Pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both functions return None for what they leave to the long way; they never raise.

    Attributes:
        request: the caller's body, what its peek read, the upstream's name of the model, what the upstream takes ->
            the upstream's body.
        answer: the upstream's whole answer to such a request, the caller's name of the model -> the caller's answer,
            and what it used.
    """

    request: Callable[[bytes, PlainMessages, str, Profile], bytes | None]
    answer: Callable[[bytes, str], tuple[bytes, Usage | None] | None]
