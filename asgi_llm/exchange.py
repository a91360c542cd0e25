"""Everything that is known about one request, from arrival to settlement; and the seam to whoever sent it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from asgi_llm.identity import ANONYMOUS, Identity
from asgi_llm.neutral.request import Part, Request, ToolCall, ToolResult
from asgi_llm.neutral.usage import Usage
from asgi_llm.types import Headers, Scope

if TYPE_CHECKING:  # the package's public names include Exchange, and importing those must be cheap
    from asgi_llm.dialects.forwarded import Forwarded
    from asgi_llm.dialects.interface import Dialect, Warned
    from asgi_llm.dialects.onset import Onset
    from asgi_llm.dialects.peek import Envelope
    from asgi_llm.fleet.gate import Gate
    from asgi_llm.fleet.worker import Worker
    from asgi_llm.metering.tally import Tally
    from asgi_llm.pipeline.inspection import Inspection
    from asgi_llm.pipeline.plan import Leg, Plan
    from asgi_llm.pipeline.recall import Recall
    from asgi_llm.pipeline.upload import Upload
    from asgi_llm.quotas.tab import Tab
    from asgi_llm.routing.balance.interface import Facts
    from asgi_llm.routing.pins import Pin
    from asgi_llm.telemetry.tracing import Trace

__all__ = [
    "Attempt", "Caller", "CallerGone", "CallerServed", "Exchange", "Fitting", "Forward", "HostRefusal", "Hosted",
    "HostedJob", "Lost", "Outcome", "Why",
]  # fmt: skip

Outcome = Literal["ok", "client_error", "denied", "upstream_error", "interrupted", "disconnected", "internal_error"]
"""How an exchange ended. ``upstream_error``: no answer could be had. ``interrupted``: an answer broke off.
``disconnected``: the caller left."""

Why = Literal["first", "retry", "fallback", "overflow", "hedge"]
"""Why it is this worker of this leg: the first choice; another after a failed one; another leg after failures, or
because the request was too long for those before; the quicker of two."""


class CallerGone(Exception):  # noqa: N818  # an event, not an error of anybody's
    """The caller left before its request was whole."""


class CallerServed(Exception):  # noqa: N818  # an event, not an error of anybody's
    """The caller has its answer already: the work goes on without it."""


class HostRefusal(Exception):  # noqa: N818  # passes on another's error and is none itself
    """The host raised ``raised`` while the body was read: some enforce a limit of their own in this way. What it is
    and how it is answered only the host knows."""

    def __init__(self, raised: Exception) -> None:
        super().__init__(raised)
        self.raised = raised


class Caller(Protocol):
    """Who waits for the answer; the ASGI edge implements it.

    ``start``, ``send`` and ``finish`` are called in this order, one at a time. ``gone`` becomes true when the caller
    has left. Then, as the settings have it, the exchange's task is cancelled, or goes on with nobody listening, and is
    cancelled after a while.

    ``headers`` are all headers in order; ``fields`` has the last value of each name, for look-ups.
    """

    scope: Scope
    headers: Headers
    fields: dict[bytes, bytes]

    @property
    def started(self) -> bool: ...

    @property
    def gone(self) -> bool: ...

    @property
    def missed(self) -> bool:
        """Whether something was said after it had gone."""
        ...

    queued: bool
    """Set while its request waits for a place: then its leaving ends that at once, whatever the settings say, for there
    is no work yet that could be drained."""

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            ClientError: larger than ``limit`` bytes.
            CallerGone: it left meanwhile.
            HostRefusal: the host does not let the body be read.
        """
        ...

    async def piece(self) -> tuple[bytes, bool]:
        """The next piece of the body and whether more will come; in place of ``body``, and not after the last one.

        Raises:
            CallerGone, HostRefusal: as ``body``.
        """
        ...

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """``start`` and ``finish`` in one."""
        ...

    async def start(self, status: int, headers: Headers) -> None: ...

    async def send(self, data: bytes) -> None: ...

    async def finish(self, data: bytes = b"") -> None: ...


Told = Usage | Callable[[], Usage | None] | None
"""Usage, or what reads it."""


class Lost(Struct, frozen=True):
    """What an attempt at ``leg`` used without giving the answer; ``usage`` is None where it was broken off at its work
    and had said nothing."""

    leg: "Leg"
    usage: Usage | None


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One request to one worker and what came of it: ``ok``, the cause of its failure, or ``abandoned`` where it was
    not waited for. ``seconds`` it took. ``key`` is the number of the API key, where the target has several. ``resent``:
    it was sent twice, since the worker had closed the idle connection that it was sent on first. ``lost`` is what it
    used for nothing, which is paid all the same."""

    target: str
    worker: str
    result: str
    seconds: float
    status: int | None = None
    key: int | None = None
    resent: bool = False
    lost: Lost | None = None


class Fitting(Protocol):
    """What makes the body of an exchange what a leg is to be asked, where that is more than what the caller sent."""

    def fit(self, exchange: "Exchange", leg: "Leg") -> None:
        """
        Raises:
            TranslationError: the leg cannot be asked for it.
        """
        ...


class HostedJob(Protocol):
    """A tool that runs. ``call`` is the model's call, under the id by which the caller is told of it; ``begun`` is what
    it is told at once. ``stops``: it is the caller's turn, and the model is not asked again."""

    call: ToolCall
    begun: Part | None
    stops: bool

    async def wait(self) -> tuple[Part | None, ToolResult]:
        """What the caller is told in the end, and what the model is told. Raises nothing."""
        ...


class Hosted(Protocol):
    """The tools that the gateway runs for a request. ``asked`` is the request as the caller said it, ``prelude`` what
    it is told before the answer, ``rounds`` how often the model is asked again."""

    asked: Request
    prelude: list[Part]
    rounds: int

    def owns(self, name: str) -> bool:
        """Whether a function of that name is such a tool."""
        ...

    def begin(self, calls: Sequence[ToolCall]) -> Sequence[HostedJob]:
        """Runs what the model calls at once."""
        ...

    def close(self) -> None:
        """Breaks off what still runs. Never blocks."""
        ...


class Forward(Struct, eq=False):
    """What is known of an exchange whose endpoint is forwarded, beside what every exchange has.

    ``upload`` is the form that it sends, ``pin`` what an id in its path or body stands for.
    """

    endpoint: "Forwarded"
    method: bytes = b"POST"
    upload: "Upload | None" = None
    pin: "Pin | None" = None


class Exchange(Struct, kw_only=True, eq=False):
    """One request on its way. Steps of the pipeline fill it in; nobody else keeps it.

    ``started``, ``first_byte`` and ``ended`` are seconds of the loop's clock. ``stream`` is whether the caller asked
    for one, false until its envelope is known. ``named`` is the model that the path named, where the body does not.
    ``answered`` is the upstream's whole answer, or a tally of its stream where a ledger is kept.
    ``fetched``: ``request`` holds the content of media that the body gives by URL.
    ``hosted`` runs the tools that the upstream lacks, where there are such.
    ``inspection`` is what shows the answer to hooks, where there are such; ``recall`` what the cache of answers knows.
    ``gates`` are those of which it holds a place. ``why`` the leg and worker were chosen that serve it.
    ``onset`` knows when its stream began to speak, ``trace`` its spans; None where nobody asks for them.
    """

    id: str
    endpoint: str
    dialect: "Dialect"
    started: float
    named: str = ""
    identity: Identity = ANONYMOUS
    body: bytes = b""
    envelope: "Envelope | None" = None
    stream: bool = False
    request: Request | None = None
    continuation: Fitting | None = None
    hosted: Hosted | None = None
    inspection: "Inspection | None" = None
    recall: "Recall | None" = None
    fetched: bool = False
    forward: Forward | None = None
    plan: "Plan | None" = None
    leg: "Leg | None" = None
    worker: "Worker | None" = None
    tab: "Tab | None" = None
    probe: bool = False
    facts: "Facts | None" = None
    attempts: tuple[Attempt, ...] = ()
    gates: "tuple[Gate, ...]" = ()
    why: Why = "first"
    onset: "Onset | None" = None
    trace: "Trace | None" = None
    warnings: "tuple[Warned, ...]" = ()
    status: int = 0
    outcome: Outcome | None = None
    error_code: str | None = None
    finish: str | None = None
    told_usage: Told = None
    answered: "Tally | bytes | None" = None
    first_byte: float | None = None
    ended: float | None = None
    settled: bool = False

    @property
    def served(self) -> Attempt | None:
        """The attempt that gave the answer, else the last one. Of two that were asked at once it need not be the last
        that did."""
        attempts = self.attempts
        if len(attempts) == 1:
            return attempts[0]
        answers = (attempt for attempt in reversed(attempts) if attempt.result == "ok")
        return next(answers, attempts[-1] if attempts else None)

    @property
    def usage(self) -> Usage | None:
        """What it used, as far as anybody said. Of an answer that passed whole it is read when it is first asked for:
        often nobody does."""
        told = self.told_usage
        if told is None or isinstance(told, Usage):
            return told
        self.told_usage = usage = told()
        return usage

    @usage.setter
    def usage(self, told: Told) -> None:
        self.told_usage = told
