"""The Gemini dialect (generateContent, streamGenerateContent).

Reading: ``request`` (with ``turns``, ``tools``, ``parts``, ``spelling``), ``response``, ``stream`` (with ``reader``),
``errors``. Writing: ``encode_request`` (with ``encode_tools``, ``history``, ``said``, ``thinking``, ``schemas``),
``response``, ``encode_stream``, ``array``, ``errors``. What a model takes is data in ``models``; what gets lost is data
in ``losses``. The model's name and whether to stream are in the path, never in the body: they are not seen here.
"""

from dataclasses import replace

from asgi_llm.dialects.interface import Dialect

from .array import ArrayForm
from .counting import decode_count, decode_question, encode_count, encode_question, name_model, unwrap
from .encode_parts import must_inline
from .encode_request import encode_request
from .encode_stream import KEEPALIVE, GeminiEncoder
from .errors import decode_error, encode_error, encode_failure
from .losses import LOSSES
from .own import without_own_signatures
from .request import decode_request
from .response import decode_response, encode_response
from .resume import resume
from .stream import GeminiDecoder
from .usage import decode_usage
from .watch import GeminiWatcher

__all__ = ["GEMINI", "GEMINI_ARRAY", "GEMINI_COUNT", "LOSSES"]

GEMINI = Dialect(
    name="gemini",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=GeminiDecoder,
    stream_encoder=GeminiEncoder,
    watcher=GeminiWatcher,
    usage=decode_usage,
    decode_error=decode_error,
    encode_error=encode_error,
    encode_failure=encode_failure,
    keepalive=KEEPALIVE,
    losses=LOSSES,
    clean=without_own_signatures,
    resume=resume,
    must_inline=must_inline,
    names_model=False,
    answer_model="modelVersion",
)
GEMINI_ARRAY = replace(GEMINI, stream_type=b"application/json", form=ArrayForm)
"""For callers of ``streamGenerateContent`` without ``alt=sse``."""
GEMINI_COUNT = replace(
    GEMINI,
    decode_request=decode_question,
    encode_request=encode_question,
    decode_response=decode_count,
    encode_response=encode_count,
    unwrap=unwrap,
    rename=name_model,
)
"""For the endpoint that counts tokens."""
