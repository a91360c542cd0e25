"""OpenAI's Responses API: ``RESPONSES`` gathers what this folder does.

``request`` and ``encode`` read and write requests, ``response`` whole answers, ``decoder`` and ``encoder`` streams,
``watch`` looks at streams that pass through, ``errors`` prints and reads errors, ``losses`` says what is lost.
"""

from dataclasses import replace

from asgi_llm.dialects.interface import Dialect

from .content import must_inline
from .counting import decode_count, decode_question, encode_count, encode_question
from .decoder import Decoder
from .encode import encode_request
from .encoder import Encoder
from .errors import decode_error, encode_error, encode_failure
from .losses import LOSSES
from .own import without_own_proofs
from .patch import patcher
from .ran import FORMS
from .request import decode_request
from .response import decode_response, encode_response
from .usage import decode_usage
from .watch import Watcher, break_off

__all__ = ["LOSSES", "RESPONSES", "RESPONSES_COUNT"]

RESPONSES = Dialect(
    name="responses",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    watcher=Watcher,
    usage=decode_usage,
    decode_error=decode_error,
    encode_error=encode_error,
    encode_failure=encode_failure,
    break_off=break_off,
    keepalive=b": keep-alive\n\n",
    losses=LOSSES,
    clean=without_own_proofs,
    must_inline=must_inline,
    patcher=patcher,
    hosted=FORMS,
)
RESPONSES_COUNT = replace(
    RESPONSES,
    decode_request=decode_question,
    encode_request=encode_question,
    decode_response=decode_count,
    encode_response=encode_count,
)
"""For the endpoint that counts tokens."""
