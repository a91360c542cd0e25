"""Code of yours on the way of every request: look at it, change it, refuse it, choose its model or target; look at the
answer, change it, withhold it; be told when all is over.

    from asgi_llm.hooks import Ask, Hook, Refused

    class OnlyShortPrompts(Hook):
        async def on_request(self, ask: Ask) -> Ask | None:
            if len(ask.prompt) > 10_000:
                raise Refused("please be brief", code="prompt_too_long")

    gateway = Gateway(settings, hooks=[OnlyShortPrompts()])

Requests and answers are in neutral form (``asgi_llm.neutral``), so that one hook serves every dialect, streamed or not.
"""

from collections.abc import Iterable, Mapping, Sequence
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Literal, Self

from msgspec import Struct, structs

from asgi_llm.errors import Kind, PolicyError
from asgi_llm.identity import Identity
from asgi_llm.neutral.events import Event
from asgi_llm.neutral.prompt import last_prompt
from asgi_llm.neutral.request import Request
from asgi_llm.neutral.response import Response

if TYPE_CHECKING:
    from asgi_llm.exchange import Exchange

__all__ = ["Ask", "Hook", "Refused", "check_hooks", "overrides"]


class Refused(PolicyError):  # noqa: N818  # says what was done, and reads well where it is raised
    """Raised by a hook: no. Of a request the caller gets an error of its dialect with this message and code; of an
    answer it gets what was let through so far, and an end that says ``content_filter`` in the dialect's word.

    Args:
        message: shown to the caller.
        code: stable, snake_case.
        kind: decides the status; 400 by default.
        param: the field at fault.
        retry_after: seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "request_refused",
        kind: Kind = Kind.BAD_REQUEST,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, kind=kind, code=code, param=param, retry_after=retry_after)


class Ask(Struct, frozen=True, kw_only=True, eq=False):
    """What a hook is shown of a request.

    Attributes:
        id: the request's, as in ``x-llm-request-id``.
        identity: who calls.
        endpoint: ``chat``, ``responses``, ``messages``, ``gemini``, ``embeddings``, ...
        dialect: what the caller speaks.
        model: the model that is asked for.
        stream: whether the answer is to be streamed.
        request: the request in neutral form; None at endpoints that are no dialect's (embeddings, images, ...).
        payload: at those, the body as JSON values; None where it is no JSON.
        headers: the caller's headers, the last of each name, in lower case and without credentials.
        target: the target that is to serve it; before it is chosen None, unless the application named one. To the
            hooks of an answer: that which did.
        served: the model that answers, by its target's name for it; None before.
        notes: for the hooks' own notes; the same for the request and its answer.
    """

    id: str
    identity: Identity
    endpoint: str
    dialect: str
    model: str
    stream: bool
    request: Request | None = None
    payload: Any = None
    headers: Mapping[bytes, bytes] = {}
    target: str | None = None
    served: str | None = None
    notes: dict[Any, Any]

    @property
    def prompt(self) -> str:
        """What the user asked last, through all turns that only hold results of tools; empty where nothing is known."""
        return "" if self.request is None else last_prompt(self.request)

    def change(
        self,
        *,
        request: Request | None = None,
        model: str | None = None,
        target: str | None = None,
        payload: Any = None,
    ) -> Self:
        """The same with something changed: what ``on_request`` returns to have it so."""
        changes: dict[str, Any] = {}
        if request is not None:
            changes |= {"request": request, "model": request.model}
        if model is not None:
            known = request or self.request
            changes |= {"model": model, "request": None if known is None else structs.replace(known, model=model)}
        if target is not None:
            changes["target"] = target
        if payload is not None:
            changes["payload"] = payload
        return structs.replace(self, **changes)

    def __repr__(self) -> str:
        return f"<Ask {self.id} {self.endpoint} model={self.model!r}>"


class Hook:
    """Base of all hooks; override what you need. One hook serves all requests: what belongs to one is kept in
    ``ask.notes``.

    Requests pass the hooks in the order of ``Gateway(hooks=...)``, then the guards of the settings; answers pass them
    the other way round.

    Attributes:
        name: for the log.
        timeout: seconds that one call may take; 0 for no end.
        on_failure: what becomes of a request when the hook raises anything but ``Refused``, or takes too long: it goes
            on as if the hook had said nothing (``open``), or is refused (``closed``).
        hold: characters of a stream that are kept back behind what ``on_event`` has seen, so that a refusal comes
            before they are out.
        unseen: what becomes of requests whose answers the hook cannot be shown, as streams of endpoints that are no
            dialect's: they ``pass``, or are ``refused``.
    """

    name: str = ""
    timeout: float = 10.0
    on_failure: Literal["open", "closed"] = "closed"
    hold: int = 0
    unseen: Literal["pass", "refuse"] = "pass"

    def concerns(self, ask: Ask) -> bool:
        """Whether ``unseen`` is about this request; all of them by default."""
        return True

    async def on_request(self, ask: Ask) -> Ask | None:
        """Before anything else is decided. Returns ``ask.change(...)`` to change something.

        Raises:
            Refused: the request goes nowhere.
        """
        return None

    async def on_response(self, ask: Ask, response: Response) -> Response | None:
        """A whole answer. Where ``on_event`` is not overridden streams are collected for it, and sent when it has
        returned. Returns another answer to have it sent instead.

        Raises:
            Refused: the answer is withheld.
        """
        return None

    async def on_event(self, ask: Ask, event: Event) -> Event | Sequence[Event] | None:
        """An event of a streamed answer, in order. Where ``on_response`` is not overridden whole answers are shown
        event by event. Returns what is sent in its place, in an order as ``asgi_llm.neutral.events`` wants it; None to
        send it as it is.

        Raises:
            Refused: this and all that follows is withheld.
        """
        return None

    async def on_payload(self, ask: Ask, payload: Any) -> Any:
        """The whole answer of an endpoint that is no dialect's, as JSON values. Returns what is sent instead, or None.

        Raises:
            Refused: the answer is withheld.
        """
        return None

    async def on_settled(self, exchange: "Exchange") -> None:
        """All is over, however it ended: usage, outcome and times are known. Runs in a task of the gateway's."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def overrides(hook: Hook, name: str) -> bool:
    """Whether ``hook`` does anything in that method."""
    return getattr_static(hook, name) is not getattr_static(Hook, name)


def check_hooks(hooks: Iterable[object]) -> tuple[Hook, ...]:
    """
    Raises:
        TypeError: one of them is no hook.
    """
    checked = []
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"hooks are instances of asgi_llm.hooks.Hook, which {hook!r} is not")
        checked.append(hook)
    return tuple(checked)
