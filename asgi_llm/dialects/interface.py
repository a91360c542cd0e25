"""What every dialect offers, and what its functions are given.

A ``Dialect`` is a value that gathers the functions of one folder, so that the pipeline can hold "the caller's dialect"
and "the upstream's dialect" without knowing either.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import getrandbits
from typing import Literal, Protocol

from msgspec import Raw, Struct

from asgi_llm.errors import AsgiLLMError, TranslationError, UpstreamError
from asgi_llm.neutral.events import Event, TextDelta
from asgi_llm.neutral.ran import HostedForms
from asgi_llm.neutral.request import DialectName, Media, Part, Request
from asgi_llm.neutral.response import Finish, Response
from asgi_llm.neutral.usage import Usage
from asgi_llm.types import Headers

from .profile import Profile

__all__ = [
    "Answer",
    "Dialect",
    "Encoded",
    "Loss",
    "Patched",
    "Patcher",
    "Profile",
    "Report",
    "Restore",
    "StreamDecoder",
    "StreamEncoder",
    "StreamFilter",
    "StreamForm",
    "StreamWatcher",
    "ToolShape",
    "Warned",
    "mint",
]


def mint(prefix: str) -> str:
    """A new id: the prefix and 24 letters and digits, 96 bits of them random. Unique, not secret."""
    return f"{prefix}{getrandbits(96):024x}"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that a dialect cannot say, and what happens to it.

    ``drop`` leaves it out silently (nothing observable is lost), ``warn`` leaves it out and names it, ``emulate``
    builds the effect from other features and names it, ``refuse`` answers 400 naming the field.
    """

    field: str
    action: Literal["drop", "warn", "emulate", "refuse"]
    note: str


@dataclass(frozen=True, slots=True)
class Warned:
    """One loss that happened in one request; printed in ``x-llm-warnings`` as ``field;action``."""

    field: str
    action: str
    note: str


_MOST_WARNED = 32
"""So many losses are named: callers make up fields as they like, and proxies take few kilobytes of headers."""
_MORE = Warned("more", "warn", "More fields than can be named are left out.")


class Report:
    """Collects the losses of one translation, acting on each as its declaration says."""

    __slots__ = ("_losses", "_warned")

    def __init__(self, losses: dict[str, Loss]) -> None:
        self._losses = losses
        self._warned: dict[str, Warned] = {}

    def lose(self, field: str, param: str | None = None) -> None:
        """The request has ``field`` (a key of the dialect's declared losses) and the target cannot say it.
        ``param`` is what the caller is told instead of ``field``.

        Raises:
            TranslationError: the declaration says ``refuse``.
        """
        loss = self._losses[field]
        if loss.action == "refuse":
            raise TranslationError(loss.note, param=param or field)
        if loss.action != "drop":
            named = param or field
            if len(self._warned) >= _MOST_WARNED and named not in self._warned:
                self._warned["more"] = _MORE
            else:
                self._warned.setdefault(named, Warned(_plain(named), loss.action, loss.note))

    @property
    def warnings(self) -> tuple[Warned, ...]:
        return tuple(self._warned.values())


def _plain(field: str) -> str:
    """Fit for a header: the name of a field that nobody knows is whatever the caller made it."""
    return _ODD.sub("?", field[:100])


_ODD = re.compile(r"[^!-~]|[,;]")


@dataclass(frozen=True, slots=True)
class ToolShape:
    """What a tool was before it was bent to fit the upstream: its real name, kind and namespace."""

    name: str
    kind: Literal["json", "text"] = "json"
    namespace: str | None = None
    typed: str | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """How to undo, in the answer, what encoding the request changed. ``tools`` goes from the name on the wire."""

    tools: dict[str, ToolShape] = field(default_factory=dict)
    unwrap_output: str | None = None
    """Name of the forced tool whose arguments are the text of the answer, where structured output was emulated."""
    stops: tuple[str, ...] = ()
    """Stop sequences that the upstream was not told: whoever passes the answer on cuts it there."""
    pauses: Literal["content", "token"] | None = None
    """The answer may pause in a way that the caller does not know, and whoever passes it on goes on with it by
    ``Dialect.resume``, by what was said or by a token alone."""


class Encoded(Struct, frozen=True):
    """A request as the upstream's dialect says it. ``headers`` are those the encoding depends on (versions, betas)."""

    body: bytes
    warnings: tuple[Warned, ...] = ()
    headers: Headers = []
    restore: Restore = Restore()


class Patched(Struct, frozen=True):
    """A caller's own request, changed where this upstream differs from its dialect; else byte for byte the same."""

    body: bytes
    warnings: tuple[Warned, ...] = ()


class Patcher(Struct, frozen=True):
    """``patch`` is the body as the upstream takes it, or None where a patch is not enough. ``spares_plain``: it never
    changes what ``peek`` calls plain."""

    patch: Callable[[bytes], Patched | None]
    spares_plain: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """What an encoder of answers must know beside the answer itself.

    ``model`` is the name the caller used. ``mint`` makes ids from a prefix, ``now`` tells seconds since the epoch;
    both are injected so that tests are exact. ``request`` is the caller's request where it was decoded.
    """

    model: str
    include_usage: bool = False
    request: Request | None = None
    mint: Callable[[str], str] = mint
    now: Callable[[], float] = time.time


class StreamDecoder(Protocol):
    """Bytes of an upstream's stream in any chunking -> neutral events. One instance a stream."""

    def feed(self, data: bytes) -> list[Event]:
        """What became certain. An in-band error becomes a ``Failure`` event, after which nothing follows."""
        ...

    def end(self) -> list[Event]:
        """The stream ended. Without its terminal event that is a ``Failure`` with cause ``truncated``."""
        ...

    @property
    def told(self) -> Usage | None:
        """What was used, as far as it was read and is held back for the end of the stream: there may be none."""
        ...


class StreamEncoder(Protocol):
    """Neutral events -> bytes of the caller's stream. One instance a stream; the grammar holds by construction."""

    def feed(self, events: Iterable[Event]) -> bytes: ...

    def quick(self, event: TextDelta) -> bytes | None:
        """What ``feed`` would give for ``event`` alone, by a shorter way, which most of a stream goes. None where that
        does not lead there: then ``event`` is still to be fed."""
        ...

    def keepalive(self) -> bytes:
        """Bytes that say "still working" and change nothing; may be sent before any event."""
        ...


class StreamWatcher(Protocol):
    """Looks at a stream that passes through unchanged: what it used, whether it ended as it should."""

    @property
    def usage(self) -> Usage | None: ...

    @property
    def ended(self) -> bool:
        """Whether the terminal event was seen."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing may follow any more, for no candidate, not even usage."""
        ...

    @property
    def failure(self) -> UpstreamError | None:
        """The in-band error that was seen."""
        ...

    @property
    def finish(self) -> str | None:
        """The dialect's own word for why the answer ended, where seen."""
        ...

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes seen so far end with a whole event, so that a keep-alive may be put in."""
        ...

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None:
        """No more bytes; looks at an unfinished last event."""
        ...


class StreamFilter(Protocol):
    """Edits a stream that passes through, event by event, leaving every other byte as it is."""

    @property
    def mark(self) -> bytes | None:
        """Bytes without which an event stays as it is; None where it must be asked. Where all that came before is whole
        events, and given back, those without need not be fed."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The edited bytes of the events that are whole by now."""
        ...

    def end(self) -> bytes:
        """What was held back."""
        ...


class StreamForm(Protocol):
    """Turns a stream of events into another form of it."""

    def feed(self, data: bytes) -> bytes:
        """The events that are whole by now, in that form."""
        ...

    def end(self) -> bytes:
        """What is left."""
        ...

    def break_off(self, data: bytes) -> bytes:
        """In place of ``end``, where ``data`` tells of a failure: what came before it may have stopped midway in an
        event, which is left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One wire dialect.

    Attributes:
        decode_request: the caller's body -> neutral. Raises ClientError naming the field.
        encode_request: neutral -> the upstream's body. Raises TranslationError.
        decode_response: an upstream's JSON answer -> neutral. Raises UpstreamError (cause content or in_band).
        encode_response: neutral -> the caller's JSON answer.
        usage: the usage object of an answer, as its bytes -> counts, or None if it holds none; never raises.
        decode_error: an upstream's error answer (status, headers, body) -> error.
        encode_error: error -> (status, JSON body) for the caller; the request id is printed where the dialect has
            a place for it.
        encode_failure: error -> the bytes that end a running stream with it.
        break_off: the same for a stream that passes through, as what its watcher saw of it demands; None where that
            makes no difference.
        keepalive: see ``StreamEncoder.keepalive``, for streams that pass through.
        losses: what the dialect cannot say, by the key that encoders report it under.
        hide_usage: takes out of a passing stream the usage that the caller did not ask for; None in dialects that
            always report it.
        names_model: whether a request's body says which model it is for and whether to stream; else its path does.
        answer_model: the member of an answer that names the model.
        stream_type: the content type of a stream.
        form: turns a stream of events into the form in which this caller wants it; None where that is the same.
        clean: takes out of a body that is passed on what only this gateway can have put into the conversation and
            the upstream would refuse; None where there is no such thing.
        unwrap: takes a request out of the member that it may be wrapped in, where the path names the model; None
            where it never is. Raises ClientError.
        hosted: how tools are told of that the gateway runs itself; None in dialects that have no words for such.
        rename: puts the upstream's name of the model into a body that repeats what its path says; None where no
            body does.
        resume: the body of the request that goes on with a paused answer, from the body of the request before it, what
            was said since and how it paused; None where there is no such thing, or it cannot be gone on with.
        must_inline: whether an upstream of this profile wants the content of media that is given by URL; None where it
            always takes the URL.
        patcher: for a profile and a model, what adapts a body that is passed on; None where nothing can need it.
    """

    name: DialectName
    decode_request: Callable[[bytes], Request]
    encode_request: Callable[[Request, Profile], Encoded]
    decode_response: Callable[[bytes, Restore], Response]
    encode_response: Callable[[Response, Answer], bytes]
    stream_decoder: Callable[[Restore], StreamDecoder]
    stream_encoder: Callable[[Answer], StreamEncoder]
    watcher: Callable[[], StreamWatcher]
    usage: Callable[[Raw], Usage | None]
    decode_error: Callable[[int, Headers, bytes], UpstreamError]
    encode_error: Callable[[AsgiLLMError, str], tuple[int, bytes]]
    encode_failure: Callable[[AsgiLLMError], bytes]
    keepalive: bytes
    losses: Mapping[str, Loss]
    break_off: Callable[[StreamWatcher, AsgiLLMError], bytes] | None = None
    hide_usage: Callable[[], StreamFilter] | None = None
    clean: Callable[[bytes], bytes] | None = None
    patcher: Callable[[Profile, str], Patcher | None] | None = None
    resume: Callable[[bytes, tuple[Part, ...], Finish], bytes | None] | None = None
    must_inline: Callable[[Media, Profile], bool] | None = None
    names_model: bool = True
    answer_model: str = "model"
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    form: "Callable[[], StreamForm] | None" = None
    unwrap: Callable[[bytes], bytes] | None = None
    hosted: HostedForms | None = None
    rename: Callable[[bytes, str], bytes] | None = None
