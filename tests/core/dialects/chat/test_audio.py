"""Sound in answers: what an upstream says and writes down reaches every caller, with the id it is known by later."""

import json
from itertools import count
from typing import Any

import pytest

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Restore
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.request import Audio, Inline

CHAT = DIALECTS["chat"]
AUDIO = {"id": "audio_abc", "data": "AAAAAA==", "expires_at": 99, "transcript": "Hello"}
PIECES = [
    {"audio": {"id": "audio_abc", "transcript": "Hel"}},
    {"audio": {"data": "AAA="}},
    {"audio": {"transcript": "lo"}},
    {"audio": {"data": "AAA="}},
    {"audio": {"id": "audio_abc", "expires_at": 99}},
]
SPOKEN = Audio(Inline("audio/pcm", "AAAAAA=="), transcript="Hello", id="audio_abc")


def answer() -> Answer:
    numbers = count(1)
    return Answer(model="m", mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 5.0)


def whole(audio: Any = AUDIO) -> bytes:
    message = {"role": "assistant", "content": None, "refusal": None, "audio": audio}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return json.dumps({"id": "chatcmpl-1", "created": 1, "model": "g", "choices": choices}).encode()


def stream(*pieces: Any) -> bytes:
    deltas = [{"role": "assistant"}, *pieces]
    chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    said = [{"id": "chatcmpl-1", "created": 1, "model": "g", "choices": [chunk]} for chunk in chunks]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in said) + b"data: [DONE]\n\n"


def relayed(caller: Dialect) -> bytes:
    decoder, encoder = CHAT.stream_decoder(Restore()), caller.stream_encoder(answer())
    return encoder.feed(decoder.feed(stream(*PIECES))) + encoder.feed(decoder.end())


def test_sound_is_read_whole_and_in_pieces() -> None:
    decoder = CHAT.stream_decoder(Restore())
    streamed = fold([*decoder.feed(stream(*PIECES)), *decoder.end()])
    told = CHAT.decode_response(whole(), Restore())
    assert streamed.candidates[0].parts == told.candidates[0].parts == (SPOKEN,)
    assert fold(unfold(told)).candidates == told.candidates


def test_a_chat_caller_gets_it_as_it_was() -> None:
    """The id above all: it is what the next turn names the sound by."""
    (choice,) = json.loads(CHAT.encode_response(CHAT.decode_response(whole(), Restore()), answer()))["choices"]
    assert choice["message"]["audio"] == {**AUDIO, "expires_at": 3605}
    assert choice["message"]["content"] is None
    chunks = [json.loads(line[6:]) for line in relayed(CHAT).splitlines() if line.startswith(b"data: {")]
    said = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [piece["audio"] for piece in said if "audio" in piece] == [
        {"id": "audio_abc"},
        {"transcript": "Hel"},
        {"data": "AAA="},
        {"transcript": "lo"},
        {"data": "AAA="},
        {"expires_at": 3605},
    ]
    assert not any(piece.get("content") for piece in said)


@pytest.mark.parametrize("name", ["messages", "responses"])
def test_callers_without_sound_read_what_is_said(name: Any) -> None:
    caller = DIALECTS[name]
    assert b'"text":"Hello"' in caller.encode_response(CHAT.decode_response(whole(), Restore()), answer())
    events = relayed(caller)
    assert events.count(b'"Hel"') == events.count(b'"lo"') == 1


def test_a_gemini_caller_reads_and_hears_it() -> None:
    (candidate,) = json.loads(GEMINI.encode_response(CHAT.decode_response(whole(), Restore()), answer()))["candidates"]
    sound = {"inlineData": {"mimeType": "audio/pcm", "data": "AAAAAA=="}}
    assert candidate["content"]["parts"] == [{"text": "Hello"}, sound]
    pieces = [json.loads(line[6:]) for line in relayed(GEMINI).splitlines() if line]
    parts = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    assert parts == [{"text": "Hel"}, {"text": "lo"}, sound, {"text": ""}]


@pytest.mark.parametrize(
    ("data", "kind"), [("UklGRiQAAABXQVZF", "audio/wav"), ("SUQzBAAA", "audio/mpeg"), ("AAAA", "audio/pcm")]
)
def test_the_format_is_known_by_its_beginning(data: str, kind: str) -> None:
    (part,) = CHAT.decode_response(whole({**AUDIO, "data": data}), Restore()).candidates[0].parts
    assert isinstance(part, Audio)
    assert part.source == Inline(kind, data)
