"""Third step: one worker after another, until one gives the first event of its answer.

Nothing has been forwarded yet, so a failure can still be mended: by another worker of the target, then by the next
leg. ``ask`` makes one attempt, ``course`` says who is asked after a failed one, ``hedge`` asks two at a time.
"""

from collections.abc import Callable
from functools import partial

from asgi_llm.errors import UpstreamError
from asgi_llm.exchange import Caller, Exchange
from asgi_llm.routing.balance.affinity import read_keys
from asgi_llm.routing.balance.interface import Facts
from asgi_llm.routing.text import NO_TEXT, RoutingText, routing_text
from asgi_llm.runtime import Runtime

from .admission import give_back
from .ask import Reply, ask
from .course import Course
from .discover import is_there
from .forward import may_try_again
from .hedge import ask_two
from .media import inline_media
from .plan import Leg
from .prepare import Outgoing, prepare
from .reserve import reserve_leg

__all__ = ["Reply", "attempt"]


async def attempt(runtime: Runtime, exchange: Exchange, caller: Caller) -> Reply:
    """Fills in leg, worker, attempts and warnings.

    Raises:
        UpstreamError: the failure of the last attempt, when nothing is left to try or nothing could help.
        PolicyError: the target works on as much as it may, and no place came free.
        ClientError: the request cannot be expressed in the first leg's dialect.
    """
    plan = exchange.plan
    assert plan is not None  # noqa: S101  # make_plan() filled it in
    course = Course(runtime, exchange, runtime.loop.time())
    for leg in plan.legs:
        if leg.crew.plain and course.failure is None and not runtime.attends:
            outgoing = prepare(exchange, leg, caller)
            exchange.leg, exchange.warnings = leg, outgoing.warnings
        else:
            ready = await _ready(runtime, exchange, course, leg, caller)
            if ready is None:
                continue
            outgoing = ready
        worker = course.first_worker(leg)
        while worker is not None:
            try:
                if not exchange.stream or leg.crew.restraint.pace is None or outgoing.request.source is not None:
                    left = None if course.failure is None else course.left(leg)
                    return await ask(runtime, exchange, leg, worker, outgoing, left)
                facts = _facts(exchange, leg, caller) if leg.crew.reads else None
                return await ask_two(runtime, course, leg, worker, outgoing, facts)
            except UpstreamError as error:
                if not may_try_again(exchange, error):
                    raise
                worker = await course.next_worker(leg, error)
        if (gate := leg.crew.restraint.gate) is not None:
            give_back(exchange, gate)
    assert course.failure is not None  # noqa: S101  # a plan has a leg, and each ends in an answer or a failure
    raise course.failure


async def _ready(runtime: Runtime, exchange: Exchange, course: Course, leg: Leg, caller: Caller) -> Outgoing | None:
    """What ``leg`` is to be sent, once it may be; None where it is passed over."""
    if course.failure is not None and not course.leads_to(leg):
        return None
    if runtime.attends and not await _fitted(runtime, exchange, leg):
        return None
    outgoing = prepare(exchange, leg, caller) if course.failure is None else course.prepared(leg, caller)
    if outgoing is None:
        return None
    crew, gate = leg.crew, leg.crew.restraint.gate
    exchange.leg, exchange.warnings = leg, outgoing.warnings
    exchange.facts = _facts(exchange, leg, caller) if crew.reads else None
    if crew.knows and not await is_there(runtime, course, leg):
        return None
    if gate is not None and not await course.enter(gate, caller):
        return None
    return outgoing


async def _fitted(runtime: Runtime, exchange: Exchange, leg: Leg) -> bool:
    """Makes the request what ``leg`` is to be asked, where that is more than what the caller sent; whether its quotas
    let it be asked."""
    if exchange.tab is not None and not await reserve_leg(runtime, exchange, leg):
        return False
    if exchange.continuation is not None:
        exchange.continuation.fit(exchange, leg)
    if runtime.media is not None:
        await inline_media(runtime.media, exchange, leg)
    return True


def _facts(exchange: Exchange, leg: Leg, caller: Caller) -> Facts:
    """What the choice of a worker may go by, read when a policy asks for it."""
    identity, body = exchange.identity, exchange.body
    # Callers are told apart, so that none meets another's session by its name.
    scope = f"{identity.tenant}\n{identity.subject}"
    return Facts(
        leg.model,
        len(body),
        read_text=_text_reader(exchange, body),
        read_keys=partial(read_keys, scope, caller.headers, body),
    )


def _text_reader(exchange: Exchange, body: bytes) -> Callable[[], RoutingText]:
    forward = exchange.forward
    if forward is None:
        return partial(routing_text, exchange.dialect.name, body)
    text = forward.endpoint.text
    return partial(routing_text, text, body) if text is not None else lambda: NO_TEXT
