"""The Anthropic Messages dialect.

Reading: ``request`` (with ``tools``, ``wire``), ``response``, ``stream``, ``errors``. Writing: ``encode_request``
(with ``encode_tools``, ``history``, ``parts``, ``thinking``, ``schemas``), ``response``, ``encode_stream``, ``errors``.
What a model takes is data in ``models``; what gets lost is data in ``losses``.
"""

from dataclasses import replace

from asgi_llm.dialects.interface import Dialect

from .counting import decode_count, decode_question, encode_count, encode_question
from .encode_request import encode_request
from .encode_stream import KEEPALIVE, MessagesEncoder
from .errors import decode_error, encode_error, encode_failure
from .losses import LOSSES
from .own import without_own_marks
from .parts import must_inline
from .patch import patcher
from .ran import FORMS
from .request import decode_request
from .response import decode_response, encode_response
from .resume import resume
from .stream import MessagesDecoder
from .usage import read_usage
from .watch import MessagesWatcher

__all__ = ["LOSSES", "MESSAGES", "MESSAGES_COUNT"]

MESSAGES = Dialect(
    name="messages",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=MessagesDecoder,
    stream_encoder=MessagesEncoder,
    watcher=MessagesWatcher,
    usage=read_usage,
    decode_error=decode_error,
    encode_error=encode_error,
    encode_failure=encode_failure,
    keepalive=KEEPALIVE,
    losses=LOSSES,
    clean=without_own_marks,
    resume=resume,
    must_inline=must_inline,
    patcher=patcher,
    hosted=FORMS,
)
MESSAGES_COUNT = replace(
    MESSAGES,
    decode_request=decode_question,
    encode_request=encode_question,
    decode_response=decode_count,
    encode_response=encode_count,
)
"""For the endpoint that counts tokens."""
