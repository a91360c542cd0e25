"""What is mutated: the golden files, the JSON that stands in the dialects' tests, and both in the others' words.

The corpus of a dialect depends on the files alone, so an input is the same on every machine that has the same files;
``digest`` says which they are.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Profile, Restore
from asgi_llm.dialects.messages import MESSAGES
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import AsgiLLMError
from asgi_llm.types import Headers

__all__ = ["ANSWER", "DIALECTS", "MODELS", "Corpus", "Told", "corpus_of"]

DIALECTS: dict[str, Dialect] = {one.name: one for one in (CHAT, MESSAGES, RESPONSES, GEMINI)}
MODELS = {
    "chat": ("gpt-5", "m"),
    "messages": ("claude-opus-5-5", "claude-opus-4-8", "claude-sonnet-4-5", "claude-haiku-4-5", "qwen"),
    "responses": ("gpt-5", "o3"),
    "gemini": ("gemini-3-pro-preview", "gemini-2.5-flash", "gemini-flash-latest"),
}
ANSWER = Answer(model="asked-for", include_usage=True, now=lambda: 1_700_000_000.0)
_TESTS = Path(__file__).parents[2]
_CASES = _TESTS / "dialects" / "cases"
_TURNS = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}
_ANSWERS = {"chat": "choices", "messages": "stop_reason", "responses": "output", "gemini": "candidates"}
_LIMIT = 200
"""Values that are kept under one key."""


@dataclass(frozen=True, slots=True)
class Told:
    """An upstream's error."""

    status: int
    headers: Headers
    body: bytes


@dataclass(slots=True)
class Corpus:
    """What one dialect says. ``under`` holds the values that stand somewhere under a key, as JSON; those of a list
    under the key of the list and ``[]``."""

    requests: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)
    errors: list[Told] = field(default_factory=list)
    usages: list[bytes] = field(default_factory=list)
    under: dict[str, list[str]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Names the corpus: two runs with the same seed and digest see the same inputs."""
        said = [*self.requests, *self.answers, *self.streams, *(told.body for told in self.errors), *self.usages]
        return hashlib.sha256(b"\0".join([*said, json.dumps(self.under).encode()])).hexdigest()[:12]


@cache
def corpus_of(name: str) -> Corpus:
    """Everything there is in the words of the dialect ``name``."""
    own = _own(name)
    for other in DIALECTS:
        if other != name:
            _translate(_own(other), DIALECTS[other], own, DIALECTS[name])
    for seeds in (own.requests, own.answers, own.streams, own.usages):
        seeds[:] = dict.fromkeys(seeds)
    _index(own)
    own.requests[:] = [body for body in own.requests if _is_read(DIALECTS[name].decode_request, body)]
    own.answers[:] = [body for body in own.answers if _is_read(DIALECTS[name].decode_response, body, Restore())]
    assert own.requests
    assert own.answers
    assert own.streams
    assert own.usages
    return own


def _is_read(read: Callable[..., Any], *given: Any) -> bool:
    """Whether it is right as it stands; what is wrong by itself would hide what a mutation brings."""
    try:
        read(*given)
    except AsgiLLMError:
        return False
    return True


def _own(name: str) -> Corpus:
    corpus = Corpus()
    _read_cases(name, corpus)
    _read_tests(name, corpus)
    corpus.errors.append(Told(500, [(b"retry-after", b"1.5")], b"<html><body>no</body></html>"))
    return corpus


def _read_cases(name: str, corpus: Corpus) -> None:
    for folder in sorted(_CASES.glob("*-*/*")):
        caller, _, upstream = folder.parent.name.partition("-")
        files = ("request.json", "reply.json", "reply.sse") if caller == name else ()
        files = (*files, "upstream.json", "answer.json", "answer.sse", "error.json") if upstream == name else files
        for file in files:
            if (folder / file).exists():
                _sort(file, (folder / file).read_bytes(), corpus)


def _sort(file: str, data: bytes, corpus: Corpus) -> None:
    match file:
        case "request.json" | "upstream.json":
            corpus.requests.append(data)
        case "answer.json" | "reply.json":
            corpus.answers.append(data)
        case "answer.sse" | "reply.sse":
            corpus.streams.append(data)
        case _:
            told = json.loads(data)
            body = told["body"] if isinstance(told["body"], str) else json.dumps(told["body"])
            headers = [(key.encode(), value.encode()) for key, value in told.get("headers", {}).items()]
            corpus.errors.append(Told(told["status"], headers, body.encode()))


def _read_tests(name: str, corpus: Corpus) -> None:
    """The objects and JSON texts that are written out in the tests of the dialect."""
    for path in sorted((_TESTS / "core" / "dialects" / name).glob("test_*.py")):
        events: list[bytes] = []
        for value in _literals(ast.parse(path.read_bytes())):
            said = json.dumps(value).encode()
            if isinstance(value.get(_TURNS[name]), list):
                corpus.requests.append(said)
            elif "error" in value and len(value) <= 3:
                corpus.errors.append(Told(400, [], said))
            elif _ANSWERS[name] in value:
                corpus.answers.append(said)
                events.append(said)
            elif isinstance(value.get("type"), str):
                events.append(said)
            corpus.under.setdefault("", []).append(said.decode())
        for start in range(0, len(events), 6):
            corpus.streams.append(b"".join(b"data: %b\n\n" % event for event in events[start : start + 6]))


def _literals(tree: ast.AST) -> Iterator[dict[str, Any]]:
    for node in ast.walk(tree):
        value: Any = None
        if isinstance(node, ast.Dict):
            value = _value(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            with suppress(ValueError, RecursionError):
                value = json.loads(node.value)
        if isinstance(value, dict) and value:
            yield value


def _value(node: ast.AST | None) -> Any:
    """What a literal stands for; names and calls in it are null."""
    match node:
        case ast.Dict():
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            pairs = zip(keys, node.values, strict=True)
            return {key: _value(value) for key, value in pairs if isinstance(key, str)}
        case ast.List() | ast.Tuple():
            return [_value(item) for item in node.elts]
        case ast.Constant(value=str() | int() | float() | bool() as value):
            return value
    return None


def _translate(theirs: Corpus, them: Dialect, ours: Corpus, us: Dialect) -> None:
    for body in theirs.requests:
        with suppress(AsgiLLMError):
            ours.requests.append(us.encode_request(them.decode_request(body), Profile()).body)
    for body in theirs.answers:
        with suppress(AsgiLLMError):
            ours.answers.append(us.encode_response(them.decode_response(body, Restore()), _numbered()))
    for stream in theirs.streams:
        decoder, encoder = them.stream_decoder(Restore()), us.stream_encoder(_numbered())
        ours.streams.append(encoder.feed([*decoder.feed(stream), *decoder.end()]))


def _numbered() -> Answer:
    numbers = iter(range(1_000_000))
    return Answer(model="asked-for", mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1_700_000_000.0)


def _index(corpus: Corpus) -> None:
    """Gathers what stands under which key, so that a mutation can put it elsewhere under the same name."""
    bodies = [*corpus.requests, *corpus.answers, *(told.body for told in corpus.errors)]
    bodies += [line[6:] for stream in corpus.streams for line in stream.split(b"\n") if line.startswith(b"data: ")]
    found: dict[str, dict[str, None]] = {key: dict.fromkeys(values) for key, values in corpus.under.items()}
    for body in bodies:
        with suppress(ValueError, RecursionError):
            _gather(json.loads(body), found)
    corpus.under = {key: list(values)[:_LIMIT] for key, values in found.items()}
    corpus.keys = [key for key in found if not key.endswith("[]")]
    corpus.usages += [text.encode() for key in ("usage", "usageMetadata") for text in corpus.under.get(key, ())]


def _gather(value: Any, found: dict[str, dict[str, None]], name: str = "") -> None:
    items = value.items() if isinstance(value, dict) else ((f"{name}[]", item) for item in value)
    for key, item in items:
        found.setdefault(key, {})[json.dumps(item)] = None
        if isinstance(item, dict | list):
            _gather(item, found, key)
