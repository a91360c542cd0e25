"""The ``chat`` dialect: OpenAI Chat Completions, as the origin and the many compatible servers speak it.

``request`` and ``messages`` read what callers send; ``encode_request``, ``turns``, ``parts`` and ``tools`` write what
upstreams get. ``response``, ``stream`` and ``encode_stream`` are the answer's ways. ``watch`` and ``hide`` serve
streams that pass through unchanged. ``losses`` declares what this dialect cannot say.
"""

from asgi_llm.dialects.interface import Dialect

from .encode_request import encode_request
from .encode_stream import KEEPALIVE, ChatStreamEncoder
from .errors import decode_error, encode_error, encode_failure
from .hide import UsageFilter
from .losses import LOSSES
from .own import without_own_details
from .parts import must_inline
from .patch import patcher
from .request import decode_request
from .response import decode_response, encode_response
from .stream import ChatStreamDecoder
from .usage import read_usage
from .watch import ChatWatcher

__all__ = ["CHAT", "LOSSES", "UsageFilter"]

CHAT = Dialect(
    name="chat",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ChatStreamDecoder,
    stream_encoder=ChatStreamEncoder,
    watcher=ChatWatcher,
    usage=read_usage,
    decode_error=decode_error,
    encode_error=encode_error,
    encode_failure=encode_failure,
    keepalive=KEEPALIVE,
    losses=LOSSES,
    hide_usage=UsageFilter,
    clean=without_own_details,
    must_inline=must_inline,
    patcher=patcher,
)
