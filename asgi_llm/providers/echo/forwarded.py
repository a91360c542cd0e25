"""What the echo answers at endpoints that are no dialect's: small, and the same every time.

A text's embedding is made of its words' hashes, so that texts with words in common are near each other. Speech is a
tone as long as the text, a picture one pixel of a colour, and what is heard in a recording is how large it was.
"""

import base64
import hashlib
import math
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from asgi_llm.dialects.forwarded import BY_NAME
from asgi_llm.dialects.sse import frame
from asgi_llm.errors import ClientError

from .script import pieces

__all__ = ["ECHOED", "ECHO_PATHS", "Said", "echo_forwarded"]

_DIMENSIONS = 64
_MOST_DIMENSIONS = 4096
_CREATED = 1_700_000_000
_RATE = 8000
_JSON = b"application/json"
_SSE = b"text/event-stream; charset=utf-8"
_FIELD = re.compile(rb'name="(\w+)"\r\n\r\n([^\r\n]{0,1000})\r\n')


class Said(NamedTuple):
    """``pieces`` are what is sent, one by one."""

    content_type: bytes
    pieces: list[bytes]


def echo_forwarded(endpoint: str, body: bytes) -> Said:
    """
    Raises:
        ClientError: the request is not what the endpoint takes.
    """
    if BY_NAME[endpoint].body == "form":
        fields = {name.decode(): value.decode("utf-8", "replace") for name, value in _FIELD.findall(body)}
        return _ANSWERS[endpoint](fields | {"size": len(body)})
    asked = msgspec.json.decode(body)
    return _ANSWERS[endpoint](asked if isinstance(asked, dict) else {})


def _json(value: Any) -> Said:
    return Said(_JSON, [msgspec.json.encode(value)])


def _texts(asked: dict[str, Any], name: str) -> list[str]:
    """The texts of a member: one, or several; lists of tokens are texts of numbers."""
    value = asked.get(name)
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [" ".join(map(str, value))]
        return [item if isinstance(item, str) else _plain(item) for item in value]
    raise ClientError(f"{name} must be a text or a list of texts", param=name)


def _plain(item: Any) -> str:
    if isinstance(item, dict):
        return str(item.get("text", ""))
    return " ".join(map(str, item)) if isinstance(item, list) else str(item)


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def _embeddings(asked: dict[str, Any]) -> Said:
    size = asked.get("dimensions") or _DIMENSIONS
    if not isinstance(size, int) or not 1 <= size <= _MOST_DIMENSIONS:
        raise ClientError(f"dimensions must be a number from 1 to {_MOST_DIMENSIONS}", param="dimensions")
    texts = _texts(asked, "input")
    packed = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(_vector(text, size) for text in texts)
    ]
    usage = {"prompt_tokens": _words(*texts), "total_tokens": _words(*texts)}
    return _json({"object": "list", "data": data, "model": asked.get("model"), "usage": usage})


def _vector(text: str, size: int) -> list[float]:
    """Of length 1, in values that 32 bits can hold."""
    sums = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        for place in range(4):
            at = int.from_bytes(digest[4 * place : 4 * place + 3])
            sums[at % size] += 1.0 if digest[4 * place + 3] & 1 else -1.0
    if not any(sums):  # words may cancel each other out
        sums[0] = 1.0
    length = math.sqrt(sum(value * value for value in sums))
    return list(struct.unpack(f"<{size}f", struct.pack(f"<{size}f", *(value / length for value in sums))))


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _near(one: str, other: str) -> float:
    pairs = zip(_vector(one, _DIMENSIONS), _vector(other, _DIMENSIONS), strict=True)
    return round(sum(a * b for a, b in pairs), 6)


def _rerank(asked: dict[str, Any]) -> Said:
    query, documents = _texts(asked, "query")[0], _texts(asked, "documents")
    scores = sorted(((_near(query, text), -index) for index, text in enumerate(documents)), reverse=True)
    top = asked.get("top_n")
    results = [
        {"index": -place, "relevance_score": score, "document": {"text": documents[-place]}} for score, place in scores
    ]
    used = {"total_tokens": _words(query, *documents)}
    return _json(
        {"model": asked.get("model"), "results": results[: top if isinstance(top, int) else None], "usage": used}
    )


def _score(asked: dict[str, Any]) -> Said:
    one, others = _texts(asked, "text_1")[0], _texts(asked, "text_2")
    data = [{"index": index, "object": "score", "score": _near(one, text)} for index, text in enumerate(others)]
    return _json({"object": "list", "model": asked.get("model"), "data": data})


def _moderations(asked: dict[str, Any]) -> Said:
    """Nothing is harmful but the word itself."""
    results = []
    for text in _texts(asked, "input"):
        flagged = "harmful" in text.lower()
        results.append(
            {
                "flagged": flagged,
                "categories": dict.fromkeys(_CATEGORIES, False) | {"violence": flagged},
                "category_scores": dict.fromkeys(_CATEGORIES, 0.0) | {"violence": float(flagged)},
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
        )
    return _json({"id": "modr-echo", "model": asked.get("model") or "echo", "results": results})


_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def _completions(asked: dict[str, Any]) -> Said:
    texts = _texts(asked, "prompt")
    head = {"id": "cmpl-echo", "object": "text_completion", "created": _CREATED, "model": asked.get("model")}
    count = _words(*texts)
    usage = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}
    if asked.get("stream") is not True:
        choices = [_choice(index, text, "stop") for index, text in enumerate(texts)]
        return _json(head | {"choices": choices, "usage": usage})
    chunks: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        chunks += [head | {"choices": [_choice(index, piece, None)]} for piece in pieces(text)]
        chunks.append(head | {"choices": [_choice(index, "", "stop")]})
    options = asked.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage") is True:
        chunks.append(head | {"choices": [], "usage": usage})
    return Said(_SSE, [*(frame(msgspec.json.encode(chunk)) for chunk in chunks), frame(b"[DONE]")])


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _images(asked: dict[str, Any]) -> Said:
    prompt = str(asked.get("prompt") or asked.get("size", ""))
    picture = base64.b64encode(_png(prompt)).decode("ascii")
    usage = {
        "input_tokens": _words(prompt),
        "output_tokens": 1,
        "total_tokens": _words(prompt) + 1,
        "input_tokens_details": {"text_tokens": _words(prompt), "image_tokens": 0},
    }
    if asked.get("stream") is not True:
        return _json({"created": _CREATED, "data": [{"b64_json": picture}], "usage": usage})
    told = {
        "b64_json": picture, "created_at": _CREATED, "size": "1024x1024", "quality": "low", "background": "opaque",
        "output_format": "png",
    }  # fmt: skip
    first, last = "image_generation.partial_image", "image_generation.completed"
    events: list[dict[str, Any]] = [
        {"type": first, "partial_image_index": 0, **told},
        {"type": last, "usage": usage, **told},
    ]
    return Said(_SSE, [frame(msgspec.json.encode(event), event["type"].encode()) for event in events])


def _png(text: str) -> bytes:
    """One pixel, of a colour that goes by the text."""
    colour = hashlib.sha256(text.encode()).digest()[:3]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" + colour))
        + chunk(b"IEND", b"")
    )


def _speech(asked: dict[str, Any]) -> Said:
    """A tone, a twentieth of a second for each word."""
    text = _texts(asked, "input")[0]
    if asked.get("stream_format") == "sse":
        audio = base64.b64encode(_wav(text)).decode("ascii")
        used = {"input_tokens": _words(text), "output_tokens": 1, "total_tokens": _words(text) + 1}
        events: list[dict[str, Any]] = [
            {"type": "speech.audio.delta", "audio": audio},
            {"type": "speech.audio.done", "usage": used},
        ]
        return Said(_SSE, [frame(msgspec.json.encode(event)) for event in events])
    wav = _wav(text)
    return Said(b"audio/wav", [wav[:44], wav[44:]])


def _wav(text: str) -> bytes:
    count = _RATE // 20 * min(max(1, _words(text)), 200)
    samples = bytes(round(128 + 100 * math.sin(2 * math.pi * 440 * at / _RATE)) for at in range(count))
    form = struct.pack("<HHIIHH", 1, 1, _RATE, _RATE, 1, 8)
    rest = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", count) + samples
    return b"RIFF" + struct.pack("<I", len(rest)) + rest


def _heard(asked: dict[str, Any]) -> Said:
    text = f"a form of {asked['size']} bytes"
    if asked.get("prompt"):
        text = f"{asked['prompt']}: {text}"
    if asked.get("stream") == "true":
        events: list[dict[str, Any]] = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces(text)]
        used = {"type": "tokens", "input_tokens": 1, "output_tokens": _words(text), "total_tokens": 1 + _words(text)}
        events.append({"type": "transcript.text.done", "text": text, "usage": used})
        return Said(_SSE, [frame(msgspec.json.encode(event)) for event in events])
    form = asked.get("response_format") or "json"
    if form == "text":
        return Said(b"text/plain; charset=utf-8", [f"{text}\n".encode()])
    return _json({"text": text, "usage": {"type": "duration", "seconds": 1}})


def _classify(asked: dict[str, Any]) -> Said:
    data = [
        {"index": index, "label": f"words:{_words(text)}", "probs": [1.0], "num_classes": 1}
        for index, text in enumerate(_texts(asked, "input"))
    ]
    return _json({"object": "list", "model": asked.get("model"), "data": data})


def _tokenize(asked: dict[str, Any]) -> Said:
    """A token for each byte."""
    tokens = list(_texts(asked, "prompt")[0].encode())
    return _json({"tokens": tokens, "count": len(tokens), "max_model_len": 4096})


def _detokenize(asked: dict[str, Any]) -> Said:
    tokens = asked.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) and 0 <= token < 256 for token in tokens):
        raise ClientError("tokens must be a list of numbers from 0 to 255", param="tokens")
    return _json({"prompt": bytes(tokens).decode("utf-8", "replace")})


_ANSWERS: dict[str, Callable[[dict[str, Any]], Said]] = {
    "completions": _completions,
    "embeddings": _embeddings,
    "rerank": _rerank,
    "score": _score,
    "classify": _classify,
    "moderations": _moderations,
    "images_generations": _images,
    "images_edits": _images,
    "images_variations": _images,
    "audio_speech": _speech,
    "audio_transcriptions": _heard,
    "audio_translations": _heard,
    "tokenize": _tokenize,
    "detokenize": _detokenize,
}

ECHO_PATHS: dict[str, bytes] = {name: BY_NAME[name].path.removeprefix("/v1").encode("ascii") for name in _ANSWERS}
ECHOED = {path: name for name, path in ECHO_PATHS.items()}
"""Path -> endpoint."""
