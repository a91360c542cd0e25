"""The endpoints that are forwarded, and what each needs to be (OpenAI API reference; vLLM, SGLang: "server arguments").

Nothing here says who serves which: that is in the providers' records.
"""

from dataclasses import replace
from typing import Literal

from msgspec import Struct

from asgi_llm.dialects.interface import Dialect
from asgi_llm.dialects.registry import DIALECTS

from .answer import read_usage
from .events import EventWatcher

__all__ = ["BY_NAME", "FORWARDED", "Forwarded"]

_POST, _GET = frozenset({"POST"}), frozenset({"GET"})
TextName = Literal["completions", "embeddings", "rerank", "generate"]

OPENAI = replace(DIALECTS["chat"], watcher=EventWatcher, usage=read_usage, hide_usage=None, patcher=None)
"""Errors as OpenAI says them, streams of events that have a type."""
COMPLETIONS = replace(DIALECTS["chat"], patcher=None)
"""Streams in chunks, as of Chat Completions."""
GEMINI = replace(DIALECTS["gemini"], usage=read_usage, patcher=None, unwrap=None)


class Forwarded(Struct, frozen=True):
    """One endpoint.

    ``path`` is the canonical one below the mount; ``others`` are further ones. In it ``{id}`` stands for the id of
    something that an upstream keeps, and ``{model}`` for a model. ``body`` is JSON, a form with files, or none.
    ``model``: whether a request must name one, may, or cannot. ``whole``: its answer is JSON; else it may be anything.
    ``text`` names the reader of the text by which a worker is chosen. ``pin``: its answer holds ids of what the
    upstream keeps (``answer``), or the path does as well (``path``), or the body (``body``); or a store knows them
    (``row``), and they are the upstream's own.
    """

    name: str
    path: str
    summary: str
    methods: frozenset[str] = _POST
    body: Literal["json", "form", "none"] = "json"
    model: Literal["needed", "optional", "none"] = "needed"
    whole: bool = True
    text: TextName | None = None
    pin: Literal["answer", "path", "body", "row"] | None = None
    dialect: Dialect = OPENAI
    others: tuple[str, ...] = ()


FORWARDED = (
    Forwarded(
        "completions", "/v1/completions", "Complete a text", text="completions", dialect=COMPLETIONS
    ),
    Forwarded("embeddings", "/v1/embeddings", "Create embeddings", text="embeddings"),
    Forwarded("embed_content", "/v1beta/models/{model}:embedContent", "Embed a content", dialect=GEMINI),
    Forwarded(
        "batch_embed_contents", "/v1beta/models/{model}:batchEmbedContents", "Embed several contents", dialect=GEMINI
    ),
    Forwarded("rerank", "/v1/rerank", "Order documents by a query", model="optional", text="rerank"),
    Forwarded("classify", "/v1/classify", "Classify texts", model="optional", text="embeddings"),
    Forwarded("moderations", "/v1/moderations", "Look for harmful content", model="optional"),
    Forwarded("score", "/v1/score", "Score pairs of texts", model="optional"),
    Forwarded("images_generations", "/v1/images/generations", "Create an image", model="optional"),
    Forwarded("images_edits", "/v1/images/edits", "Edit an image", body="form", model="optional"),
    Forwarded("images_variations", "/v1/images/variations", "Vary an image", body="form", model="optional"),
    Forwarded("audio_speech", "/v1/audio/speech", "Speak a text", whole=False),
    Forwarded("audio_transcriptions", "/v1/audio/transcriptions", "Write down speech", body="form", whole=False),
    Forwarded("audio_translations", "/v1/audio/translations", "Translate speech", body="form", whole=False),
    Forwarded("files", "/v1/files", "Upload a file", body="form", model="none", pin="answer"),
    Forwarded(
        "file",
        "/v1/files/{id}",
        "Read about a file, or delete it",
        frozenset({"GET", "DELETE"}),
        body="none",
        model="none",
        pin="path",
    ),
    Forwarded(
        "file_content",
        "/v1/files/{id}/content",
        "Read a file",
        _GET,
        body="none",
        model="none",
        whole=False,
        pin="path",
    ),
    Forwarded("batches", "/v1/batches", "Begin a batch of requests", model="none", pin="body"),
    Forwarded("batch", "/v1/batches/{id}", "Read about a batch", _GET, body="none", model="none", pin="path"),
    Forwarded(
        "batch_cancel", "/v1/batches/{id}/cancel", "Stop a batch", body="none", model="none", pin="path"
    ),
    Forwarded("generate", "/generate", "Generate (SGLang's own endpoint)", model="optional", text="generate"),
    Forwarded("tokenize", "/tokenize", "Turn a text into tokens", model="optional", others=("/v1/tokenize",)),
    Forwarded("detokenize", "/detokenize", "Turn tokens into a text", model="optional", others=("/v1/detokenize",)),
    Forwarded(
        "server_info", "/get_server_info", "What an engine says of itself", _GET, body="none", model="none",
        others=("/server_info",),
    ),
    Forwarded(
        "model_info", "/get_model_info", "What an engine says of its model", _GET, body="none", model="none",
        others=("/model_info",),
    ),
    Forwarded(
        "health_generate", "/health_generate", "Whether an engine generates", _GET, body="none", model="none",
        whole=False,
    ),
)  # fmt: skip

BY_NAME = {item.name: item for item in FORWARDED}
