"""Where responses and conversations are kept. A protocol; the behaviour suite in the tests holds for each
implementation.

A store knows ids, times and whose things are. What was said is ``data``, bytes that it does not look into: they may be
encrypted. Times are seconds since the epoch. What has expired is as good as gone, whether it was purged or not.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from .scope import Scope

__all__ = ["FOREVER", "ConversationRow", "EventRow", "ItemRow", "ResponseRow", "ResponseStore", "Status"]

FOREVER = 4102444800.0
"""The expiry of what does not expire: the year 2100."""

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class ResponseRow(Struct, frozen=True, kw_only=True):
    """A response. ``parent`` is the one that it builds upon. ``items`` are the ids of the items in ``data``, by which
    later requests may refer to them. ``lease`` is until when whoever runs it in the background answers for it; 0 where
    nobody does."""

    id: str
    created: float
    expires: float
    status: Status
    data: bytes
    parent: str | None = None
    conversation: str | None = None
    items: tuple[str, ...] = ()
    lease: float = 0.0


class ItemRow(Struct, frozen=True):
    """An item of a conversation."""

    id: str
    data: bytes


class ConversationRow(Struct, frozen=True, kw_only=True):
    id: str
    created: float
    expires: float
    data: bytes


class EventRow(Struct, frozen=True):
    """An event of a stream that can be resumed; ``number`` is its sequence number."""

    number: int
    data: bytes


class ResponseStore(Protocol):
    """All methods but ``purge`` and ``orphans`` are about one scope; what is not in it is not there.

    Raises (all methods):
        StoreError: the store cannot be reached or failed; nothing was changed.
    """

    async def put(
        self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = (), kept: Iterable[str] = ()
    ) -> bool:
        """Adds the response, or puts it in the place of the one with its id. In the same step ``added`` is added to
        its conversation, and the responses ``kept`` and the conversation are made to expire no earlier than it does.
        False, and nothing is changed, where its conversation is not there."""
        ...

    async def get(self, scope: Scope, response_id: str, now: float) -> ResponseRow | None: ...

    async def chain(self, scope: Scope, response_id: str, now: float, limit: int) -> list[ResponseRow]:
        """The response and all that it builds upon, the oldest first; empty where any of them is not there. At most
        ``limit`` + 1."""
        ...

    async def holders(self, scope: Scope, item_ids: Iterable[str], now: float) -> dict[str, ResponseRow]:
        """The responses that hold the items, by the items' ids."""
        ...

    async def delete(self, scope: Scope, response_id: str, now: float) -> bool:
        """Whether it was there. Its events go with it."""
        ...

    async def add_conversation(self, scope: Scope, row: ConversationRow, items: Sequence[ItemRow]) -> None: ...

    async def conversation(self, scope: Scope, conversation_id: str, now: float) -> ConversationRow | None: ...

    async def set_conversation(self, scope: Scope, conversation_id: str, data: bytes, now: float) -> bool: ...

    async def delete_conversation(self, scope: Scope, conversation_id: str, now: float) -> bool:
        """Whether it was there. Its items go with it."""
        ...

    async def add_items(self, scope: Scope, conversation_id: str, items: Sequence[ItemRow], now: float) -> bool:
        """Whether the conversation is there. An item whose id it has already is not added again."""
        ...

    async def items(
        self,
        scope: Scope,
        conversation_id: str,
        now: float,
        *,
        limit: int,
        after: str | None = None,
        descending: bool = False,
    ) -> list[ItemRow] | None:
        """Up to ``limit`` items in the order in which they were added, or against it, behind the item ``after``.
        None where the conversation, or the item ``after``, is not there."""
        ...

    async def item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> ItemRow | None: ...

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> bool: ...

    async def add_events(self, scope: Scope, response_id: str, events: Sequence[EventRow]) -> None:
        """Adds to the log of a response that runs in the background, in place of what is there from the first of their
        numbers on: they may be said twice. Of a response that is not there, nothing is kept."""
        ...

    async def events(self, scope: Scope, response_id: str, after: int, limit: int) -> list[EventRow]:
        """Up to ``limit`` events with numbers above ``after``, in order."""
        ...

    async def renew(self, scope: Scope, response_id: str, lease: float) -> Status | None:
        """Answers for a running response until ``lease``; tells its status, which another process may have changed.
        None where it is gone."""
        ...

    async def finish(self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = ()) -> bool:
        """``put`` for the end of a response that ran in the background: only where it is still running."""
        ...

    async def listed(self, scope: Scope, limit: int) -> tuple[list[ResponseRow], list[ConversationRow]]:
        """Up to ``limit`` responses and as many conversations, in any order; what has expired may be among them."""
        ...

    async def forget(self, scope: Scope) -> int:
        """Deletes everything of the scope; how many responses and conversations that were."""
        ...

    async def orphans(self, now: float, limit: int) -> list[tuple[Scope, ResponseRow]]:
        """Running responses whose lease has ended: whoever ran them is gone."""
        ...

    async def purge(self, now: float, limit: int = 1000) -> int:
        """Deletes up to ``limit`` responses and as many conversations that have expired; how many."""
        ...
