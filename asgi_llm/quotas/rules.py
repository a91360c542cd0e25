"""The settings' quotas, compiled: whom each is about, on which accounts, and how much a request takes of it.

Pure values; the clock and the store are in ``book.py``.
"""

import hashlib
from collections.abc import Callable, Iterable
from itertools import product
from urllib.parse import quote

from msgspec import Struct

from asgi_llm.identity import Identity
from asgi_llm.metering.windows import Calendar, Lifetime, Sliding, Span, Window
from asgi_llm.routing.access import Patterns
from asgi_llm.settings import QuotaSettings

__all__ = ["Load", "Place", "Rule", "Used", "compile_rules"]

_LONGEST = 120
"""Characters of a scope that are kept as they are; of a longer one, a digest."""
_ROLES = 16
"""Most roles of one identity that have accounts of their own: the first ones."""


class Place(Struct, frozen=True, gc=False):
    """Where a request goes: ``model`` as the caller names it."""

    endpoint: str
    model: str
    target: str


class Load(Struct, frozen=True, gc=False):
    """What a request may come to: tokens of its input, the most it lets be answered (None: it does not say), and
    micro-dollars for so many tokens (None: nobody knows the price). Where it does not say the most, it is so much for
    each of its ``choices``."""

    input: int
    output: int | None
    cost: Callable[[int, int], int | None]
    choices: int = 1


class Used(Struct, frozen=True, gc=False):
    """What it came to; ``cost`` is None where nobody knows the price."""

    input: int
    output: int
    cost: int | None


class Rule:
    """One quota.

    Attributes:
        settings: as configured.
        window: None for concurrency.
        prefix: what the names of its accounts begin with, and a slash; behind it they say whose they are.
        by_target: whether the target matters to it, so that it is asked again for each leg.
        held: whether what it counts is held until a request is over. Requests are spent when they begin: one that runs
            for long is not counted for longer.
    """

    __slots__ = ("_matches", "_span", "by_target", "held", "prefix", "resource", "settings", "window")

    def __init__(self, settings: QuotaSettings) -> None:
        self.settings = settings
        self.resource = settings.resource
        self.held = settings.resource != "requests"
        self.window = _window(settings)
        self._span: Span | None = None
        given = {name: getattr(settings.match, name) for name in type(settings.match).model_fields}
        self._matches = {name: Patterns(patterns) for name, patterns in given.items() if patterns}
        self.by_target = "target" in settings.per or "target" in self._matches
        # What was counted in other windows is of no use to this one.
        window = settings.window or "now"
        self.prefix = f"{settings.name}/{window if isinstance(window, str) else f'{window:g}'}"
        if isinstance(self.window, Calendar):
            self.prefix += f"@{settings.timezone}"

    def accounts(self, identity: Identity, place: Place) -> list[str]:
        """The accounts that a request lies on; none where the quota is not about it. Roles may make it several."""
        values: dict[str, tuple[str, ...]] = {
            "tenant": (identity.tenant,),
            "subject": (identity.subject,),
            "key": (identity.key_id,) if identity.key_id is not None else (),
            "role": identity.roles,
            "model": (place.model,),
            "target": (place.target,),
            "endpoint": (place.endpoint,),
        }
        for name, patterns in self._matches.items():
            chosen = patterns.chosen(values[name])
            if chosen is None:
                return []
            values[name] = chosen
        # The order of the dimensions in the settings must not matter to what was counted so far.
        names = sorted(self.settings.per)
        choices = product(*(dict.fromkeys(values[name][:_ROLES]) for name in names))
        return [self._account(names, choice, identity.tenant) for choice in choices]

    def span(self, now: float) -> Span:
        """Its window around ``now``; it must have one. Remembered while it lasts: a calendar is slow to ask."""
        span = self._span
        if span is None or not span.begin <= now < span.end:
            assert self.window is not None  # noqa: S101  # as the caller knows
            self._span = span = self.window.span(now)
        return span

    def reserved(self, load: Load) -> int | None:
        """How much of it the request may take at most, as far as can be told; None: nobody knows the price."""
        output = self.settings.output * load.choices if load.output is None else load.output
        match self.resource:
            case "requests" | "concurrency":
                return 1
            case "input_tokens":
                return load.input
            case "output_tokens":
                return output
            case "tokens":
                return load.input + output
        return load.cost(load.input, output)

    def used(self, used: Used) -> int:
        """How much of it was taken when all was over. Requests were spent at once, and concurrency is over."""
        match self.resource:
            case "input_tokens":
                return max(used.input, 0)
            case "output_tokens":
                return max(used.output, 0)
            case "tokens":
                return max(used.input, 0) + max(used.output, 0)
            case "cost":
                return max(used.cost or 0, 0)
        return 0

    def _account(self, names: Iterable[str], values: Iterable[str], tenant: str) -> str:
        scope = [(name, value) for name, value in zip(names, values, strict=True)]
        if any(name == "subject" for name, _ in scope) and all(name != "tenant" for name, _ in scope):
            scope.append(("tenant", tenant))
        spelled = ",".join(f"{name}={quote(value, safe=':@+-._')}" for name, value in scope)
        if len(spelled) > _LONGEST:
            spelled = hashlib.blake2b(spelled.encode(), digest_size=20).hexdigest()
        return f"{self.prefix}/{spelled}"


def compile_rules(settings: Iterable[QuotaSettings]) -> tuple[Rule, ...]:
    return tuple(Rule(item) for item in settings)


def _window(settings: QuotaSettings) -> Window | None:
    match settings.window:
        case None:
            return None
        case "lifetime":
            return Lifetime()
        case "day" | "month":
            return Calendar(settings.window, settings.timezone)
    return Sliding(settings.window)
