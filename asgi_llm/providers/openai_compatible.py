"""Any server that speaks Chat Completions the way most do: old field names, and nothing newer than they need."""

from dataclasses import replace

from asgi_llm.dialects.interface import Profile
from asgi_llm.neutral.request import DialectName

from .endpoints import EVERYTHING
from .provider import Provider, bearer, versioned

__all__ = ["COMPATIBLE", "COMPATIBLE_PATHS", "OPENAI_COMPATIBLE"]

COMPATIBLE_PATHS: dict[DialectName, bytes] = {
    "chat": b"/chat/completions",
    "responses": b"/responses",
    "messages": b"/messages",
}

COMPATIBLE = Profile(
    provider="openai_compatible",
    origin=False,
    max_tokens_field="max_tokens",
    developer_role=False,
    strict_tools=False,
    custom_tools=False,
    allowed_tools=False,
    openai_extras=False,
)
"""What the profiles of other servers begin with."""

OPENAI_COMPATIBLE = Provider(
    name="openai_compatible",
    title="Any compatible server",
    dialects=("chat",),
    paths=COMPATIBLE_PATHS,
    endpoints=EVERYTHING,
    credentials=bearer,
    rebase=versioned,
    profile=replace(COMPATIBLE, call_signatures=True),
)
