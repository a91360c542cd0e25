"""What is done with an input, and what must hold. One class of input a function; each takes the corpus's dialect, the
mutator and the random source, and raises whatever goes wrong."""

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any

import msgspec
from msgspec import Raw, structs

from asgi_llm.dialects.interface import Answer, Dialect, Profile, Restore, StreamFilter, StreamWatcher, ToolShape
from asgi_llm.dialects.peek import peek, peek_contents
from asgi_llm.dialects.rename import RenameModel
from asgi_llm.dialects.splice import ask_for_usage, replace_member, set_model
from asgi_llm.errors import ClientError, UpstreamError
from asgi_llm.neutral.events import Event, Failure, Finished
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.grammar import Grammar
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response
from asgi_llm.types import Headers

from .corpus import ANSWER, DIALECTS, MODELS, Corpus, corpus_of
from .guard import numbered_ids
from .legality import check_answer, check_error, check_stream, strict
from .mutate import Mutator

__all__ = ["KINDS", "Input", "make", "try_out", "warm_up"]

_NAMES = ("f", "g", "get_weather", "add", "search", "apply_patch", "json_output", "mcp__ns__f", "ns__f", "lookup")
_ROUNDED = (b"9007199254740992", b"1.2345678901234568e29", b"9.007199254740992e15")
"""What the mutator's large numbers become where they went through a float."""


class Input(msgspec.Struct):
    """One input: what kind, its bytes, and what is said beside them."""

    kind: str
    data: bytes
    status: int = 200
    headers: Headers = []


def make(dialect: str, corpus: Corpus, random: Random) -> Input:
    """A mutated input of any kind."""
    mutator, kind = Mutator(corpus, random), random.choice(KINDS)
    match kind:
        case "request":
            return Input(kind, mutator.json(random.choice(corpus.requests)))
        case "answer":
            return Input(kind, mutator.json(random.choice(corpus.answers)))
        case "stream":
            seed = random.choice(corpus.streams)
            array = dialect == "gemini" and random.random() < 0.25
            return Input(kind, mutator.array(seed) if array else mutator.stream(seed))
        case "error":
            told = random.choice(corpus.errors)
            status = random.choice((told.status, 200, 302, 400, 401, 403, 404, 408, 413, 429, 500, 503, 529, 599, 999))
            headers = [(name, mutator.raw(value)) for name, value in told.headers]
            return Input(kind, mutator.json(told.body), status, [*headers, *random.choice(_HEADERS)])
        case _:
            return Input(kind, mutator.json(random.choice(corpus.usages)))


_HEADERS: tuple[Headers, ...] = (
    [],
    [(b"retry-after", b"soon")],
    [(b"retry-after", b"inf")],
    [(b"retry-after", b"nan"), (b"retry-after-ms", b"-1")],
    [(b"retry-after-ms", b"1e308")],
    [(b"retry-after", b"\xff\xfe"), (b"content-type", b"\xff")],
    [(b"retry-after", b"Fri, 31 Feb 2023 99:00:00 GMT"), (b"date", b"Fri, 01 Jan 99999 00:00:00 GMT")],
    [(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT"), (b"date", b"Wed, 21 Oct 2015 07:27:00 -0000")],
)


def warm_up() -> None:
    """Reads everything that is read once, so that no input has to wait for it."""
    for name in DIALECTS:
        _asked(name)


def try_out(dialect: Dialect, given: Input, random: Random) -> None:
    """Does everything with the input that the gateway could do.

    Raises:
        Exception: anything, when something is wrong.
    """
    numbered_ids()
    _TARGETS[given.kind](dialect, given, random)


def _request(dialect: Dialect, given: Input, random: Random) -> None:
    body = given.data
    _envelope(dialect, body)
    if dialect.clean is not None:
        dialect.clean(body)
    try:
        request = dialect.decode_request(body)
    except ClientError as error:
        _refused(dialect, error)
        return
    for other in DIALECTS.values():
        _crossed(other, request, random)


def _envelope(dialect: Dialect, body: bytes) -> None:
    """Routing reads the body, and what changes on its way is spliced in."""
    try:
        envelope = peek(dialect.name, body) if dialect.names_model else peek_contents(body, "m", stream=True)
    except ClientError as error:
        _refused(dialect, error)
        return
    if not dialect.names_model:
        return
    if dialect.clean is not None:
        body = dialect.clean(body)
        cleaned = peek(dialect.name, body)
        # What is gone may have been all that was odd, and is gone from what was said.
        assert structs.replace(cleaned, plain=envelope.plain, said=envelope.said) == envelope
        envelope = cleaned
    edited = set_model(body, 'an "other"')
    assert peek(dialect.name, edited) == structs.replace(envelope, model='an "other"')
    if dialect.hide_usage is not None:
        assert peek(dialect.name, ask_for_usage(body, envelope.stream_options)).include_usage


def _refused(dialect: Dialect, error: ClientError) -> None:
    """The error can be told, and names the field unless the body is no JSON at all."""
    assert error.param or error.code == "invalid_json", (error.code, error.message)
    assert len(error.message) < 2000, error.message
    status, body = dialect.encode_error(error, "req_1")
    check_error(dialect.name, status, body)
    assert status in (400, 404), status


def _crossed(other: Dialect, request: Request, random: Random) -> None:
    """The request in another dialect's words is one that this dialect reads."""
    asked = structs.replace(request, model=random.choice(MODELS[other.name]))
    profile = _profile(random) if random.random() < 0.5 else Profile()
    try:
        encoded = other.encode_request(asked, profile)
    except ClientError as error:
        _refused(DIALECTS[request.dialect], error)
        return
    strict(encoded.body)
    assert all(_latin(warned.field) and _latin(warned.action) for warned in encoded.warnings)
    if not any(_large(value) for value in structs.astuple(asked.sampling)):
        assert not any(rounded in encoded.body for rounded in _ROUNDED), "a number lost its exact value"
    if random.random() < 0.2:
        assert other.encode_request(asked, profile).body == encoded.body
    other.decode_request(encoded.body)


def _profile(random: Random) -> Profile:
    flags = {name: random.random() < 0.5 for name in _FLAGS}
    return Profile(
        provider=random.choice(("openai", "openai_compatible", "anthropic", "gemini", "vllm")),
        max_tokens_field=random.choice(("max_tokens", "max_completion_tokens")),
        reasoning_field=random.choice((None, "reasoning_content", "reasoning")),
        tool_id_limit=random.choice((9, 40, 64)),
        hosted_tools=random.choice(("drop", "refuse")),
        **flags,
    )


_FLAGS = (
    "developer_role", "reasoning_effort", "stream_usage", "strict_tools", "custom_tools", "parallel_tool_calls",
    "allowed_tools", "openai_extras", "engine_sampling",
)  # fmt: skip


def _latin(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _large(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) >= 2**53


def _answer(dialect: Dialect, given: Input, random: Random) -> None:
    body = given.data
    with suppress(KeyError):
        if isinstance(_loaded(body), dict):
            replace_member(body, "model", b'"x"')
    try:
        response = dialect.decode_response(body, _restore(random))
    except UpstreamError as error:
        _told(error)
        return
    for other in DIALECTS.values():
        _answered(other, response, _for_caller(other, random))


def _loaded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@cache
def _asked(name: str) -> tuple[Request, ...]:
    """Requests of callers of a dialect, some of them odd."""
    corpus, random, found = corpus_of(name), Random(name), []
    while len(found) < 60:
        with suppress(ClientError):
            found.append(DIALECTS[name].decode_request(Mutator(corpus, random).json(random.choice(corpus.requests))))
    return tuple(found)


def _for_caller(dialect: Dialect, random: Random) -> Answer:
    """What an encoder of answers is told: with what was asked, as in a translation, or without."""
    asked = random.choice(_asked(dialect.name)) if random.random() < 0.5 else None
    return structs.replace(ANSWER, request=asked, include_usage=random.random() < 0.5)


def _answered(other: Dialect, response: Response, answer: Answer) -> None:
    data = other.encode_response(response, answer)
    check_answer(other.name, data)
    failure = _failure(other, data)
    assert failure is None or failure.code == "malformed_call" or _broken(response), failure
    events = unfold(response)
    _legal(events)
    encoder = other.stream_encoder(answer)
    check_stream(other.name, encoder.feed(events), failed=_fails(other, events))


def _failure(dialect: Dialect, data: bytes) -> UpstreamError | None:
    try:
        dialect.decode_response(data, Restore())
    except UpstreamError as error:
        return error
    return None


def _broken(response: Response) -> bool:
    return any(candidate.finish.reason == "malformed_call" for candidate in response.candidates)


def _fails(other: Dialect, events: list[Event]) -> bool:
    """Whether the answer ends as a failure in the words of ``other``. Dialects that know one candidate have heard
    enough when it has ended; a call that cannot be read is an end of its own in gemini only."""
    heard = [
        event for event in events if isinstance(event, Finished) and (event.candidate == 0 or other.name in _SEVERAL)
    ]
    if other.name != "gemini" and any(event.finish.reason == "malformed_call" for event in heard):
        return True
    return isinstance(events[-1], Failure) and (other.name in _SEVERAL or not heard)


_SEVERAL = ("chat", "gemini")


def _restore(random: Random) -> Restore:
    if random.random() < 0.5:
        return Restore()
    shapes = {
        name: ToolShape(
            random.choice((name, "other")),
            random.choice(("json", "text")),
            random.choice((None, "ns")),
            random.choice((None, "apply_patch", "bash_20250124")),
        )
        for name in _NAMES
        if random.random() < 0.5
    }
    return Restore(shapes, random.choice((None, "f", "json_output")))


def _legal(events: list[Event]) -> None:
    grammar = Grammar(10_000)
    for event in events:
        grammar.feed(event)
    grammar.end()


def _stream(dialect: Dialect, given: Input, random: Random) -> None:
    mutator = Mutator(Corpus(), random)
    restore, pieces = _restore(random), mutator.cuts(given.data)
    events = _read(dialect, [given.data], restore)
    cut = _read(dialect, pieces, restore)
    _legal(events)
    _legal(cut)
    if b"\r" not in given.data:
        assert _shown(cut) == _shown(events), "another reading when cut"
    for other in DIALECTS.values():
        _relayed(other, cut, mutator, random)
    if isinstance(cut[-1], Failure):
        error = cut[-1].error
        assert isinstance(error, UpstreamError)
        _told(error)
    else:
        response = fold(cut)
        for other in DIALECTS.values():
            check_answer(other.name, other.encode_response(response, _for_caller(other, random)))
    _passed(dialect, given.data, pieces)


def _read(dialect: Dialect, pieces: list[bytes], restore: Restore) -> list[Event]:
    numbered_ids()
    decoder = dialect.stream_decoder(restore)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def _shown(events: list[Event]) -> list[Any]:
    return [str(event.error) if isinstance(event, Failure) else msgspec.json.encode(event) for event in events]


def _relayed(other: Dialect, events: list[Event], mutator: Mutator, random: Random) -> None:
    """The events reach a caller as a legal stream that ends as they do, and are read there."""
    answer = _for_caller(other, random)
    encoder, data, at = other.stream_encoder(answer), b"", 0
    alive = random.random() < 0.2 and other.name != "gemini"
    while at < len(events):
        step = random.choice((1, 2, 5, 1000))
        data += encoder.feed(events[at : at + step])
        data += encoder.keepalive() if alive else b""
        at += step
    check_stream(other.name, data, failed=_fails(other, events))
    found = _read(other, [data], Restore())
    _legal(found)
    watcher = other.watcher()
    _watched(watcher, [data])
    assert watcher.ended or watcher.failure is not None
    if other.form is not None:
        strict(_filtered(other.form(), mutator.cuts(data)))


def _passed(dialect: Dialect, data: bytes, pieces: list[bytes]) -> None:
    """The stream passes through as it is: watched, without its usage, under another name."""
    whole, cut = dialect.watcher(), dialect.watcher()
    _watched(whole, [data])
    _watched(cut, pieces)
    if b"\r" not in data and len(data) < 2000:  # of what is longer, only the end need be held to be read
        assert _seen(whole) == _seen(cut)
    if dialect.hide_usage is not None:
        hidden = _filtered(dialect.hide_usage(), pieces)
        assert hidden == _filtered(dialect.hide_usage(), [data]) or b"\r" in data
        assert hidden == data or b'"usage"' in data
    renamed = _filtered(RenameModel("mine", dialect.answer_model), pieces)
    assert renamed == data or dialect.answer_model.encode() in data


def _watched(watcher: StreamWatcher, pieces: list[bytes]) -> None:
    for piece in pieces:
        watcher.feed(piece)
        assert watcher.at_boundary in (True, False)
    watcher.end()
    if watcher.failure is not None:
        _told(watcher.failure)


def _seen(watcher: StreamWatcher) -> Any:
    failure = watcher.failure
    return watcher.ended, watcher.finish, str(failure), msgspec.json.encode(watcher.usage)


def _filtered(edit: StreamFilter, pieces: list[bytes]) -> bytes:
    return b"".join([*(edit.feed(piece) for piece in pieces), edit.end()])


def _error(dialect: Dialect, given: Input, _random: Random) -> None:
    _told(dialect.decode_error(given.status, given.headers, given.data))


def _told(error: UpstreamError) -> None:
    """Every dialect can tell the error, whole and in a stream."""
    assert isinstance(error.message, str)
    assert error.retry_after is None or 0 <= error.retry_after < 1e9
    for other in DIALECTS.values():
        status, body = other.encode_error(error, "req_1")
        check_error(other.name, status, body)
        last = other.encode_failure(error)
        assert last.endswith(b"\n\n") or other.name == "gemini"
        last.decode()


def _usage(dialect: Dialect, given: Input, _random: Random) -> None:
    usage = dialect.usage(Raw(given.data))
    if usage is not None:
        counts = [value for value in structs.astuple(usage) if isinstance(value, int)]
        assert all(count >= 0 for count in counts)
        json.dumps(counts)


_TARGETS: dict[str, Callable[[Dialect, Input, Random], None]] = {
    "request": _request,
    "answer": _answer,
    "stream": _stream,
    "error": _error,
    "usage": _usage,
}
KINDS = (*["request"] * 10, *["answer"] * 4, *["stream"] * 4, *["error"] * 2, "usage")
