"""OpenAI's embeddings said in Gemini's words, and back (Gemini API reference, "batchEmbedContents").

Gemini embeds each content by itself, so every text of the input becomes one request of a batch. It knows no tokens as
input, and answers with numbers only: who asked for base64 gets them packed here, as 32 bit floats.
"""

import base64
import struct
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct, field

from asgi_llm.errors import Cause, ClientError, TranslationError, UpstreamError
from asgi_llm.neutral.usage import Usage

from .answer import read_usage

__all__ = ["EMBEDDINGS", "Adapter", "Told"]

_MOST = 2048
"""Texts in one request, as at OpenAI."""


class Told(NamedTuple):
    """An answer in the caller's words, and what it used."""

    body: bytes
    usage: Usage | None


class _Asked(Struct):
    input: str | Annotated[list[str], Meta(min_length=1, max_length=_MOST)]
    dimensions: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class _Values(Struct):
    values: list[float]


class _Answered(Struct):
    embeddings: list[_Values]
    usage_metadata: Raw = field(name="usageMetadata", default=Raw())


_asked = msgspec.json.Decoder(_Asked)
_answered = msgspec.json.Decoder(_Answered)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Adapter(Struct, frozen=True):
    """What turns a request to one endpoint into one that the upstream has, and its answer back."""

    def request(self, body: bytes, model: str) -> bytes:
        """
        Raises:
            ClientError: the body is not what the endpoint takes; TranslationError: the upstream cannot say it.
        """
        asked = _read(body)
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        more = {} if asked.dimensions is None else {"outputDimensionality": asked.dimensions}
        name = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
        return msgspec.json.encode(
            {"requests": [{"model": name, "content": {"parts": [{"text": text}]}} | more for text in texts]}
        )

    def answer(self, body: bytes, asked: bytes, model: str) -> Told:
        """``asked`` is the caller's body, ``model`` its name for the model.

        Raises:
            UpstreamError: cause ``content``.
        """
        try:
            said = _answered.decode(body)
        except _BROKEN:
            raise UpstreamError(
                "the upstream did not answer with embeddings", cause=Cause.CONTENT, code="upstream_invalid_answer"
            ) from None
        packed = _read(asked).encoding_format == "base64"
        usage = read_usage(said.usage_metadata) if said.usage_metadata else None
        tokens = usage.input if usage is not None else 0
        data = [
            {"object": "embedding", "index": index, "embedding": _pack(item.values) if packed else item.values}
            for index, item in enumerate(said.embeddings)
        ]
        counts = {"prompt_tokens": tokens, "total_tokens": tokens}
        return Told(msgspec.json.encode({"object": "list", "data": data, "model": model, "usage": counts}), usage)


EMBEDDINGS = Adapter()


def _read(body: bytes) -> _Asked:
    try:
        return _asked.decode(body)
    except _BROKEN as error:
        said = str(error)
        if "$.input" in said and "int" in said:
            raise TranslationError(
                "input must be texts: tokens of another model mean nothing to this one", param="input"
            ) from None
        param = next((name for name in ("dimensions", "encoding_format", "input") if name in said), None)
        raise ClientError(f"the request is not one for embeddings: {said[:200]}", param=param) from None


def _pack(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode("ascii")
