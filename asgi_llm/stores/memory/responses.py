"""Responses and conversations in the memory of this process. Bounded: beyond its size the oldest go first."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from asgi_llm.stores.responses import ConversationRow, EventRow, ItemRow, ResponseRow, Status
from asgi_llm.stores.scope import Scope

__all__ = ["MemoryResponses"]

_RUNNING = ("queued", "in_progress")


class _Conversation(Struct):
    row: ConversationRow
    items: dict[str, ItemRow]


class _Shelf(Struct):
    """What is one scope's."""

    responses: OrderedDict[str, ResponseRow]
    conversations: dict[str, _Conversation]
    holders: dict[str, str]
    """Item id -> id of the response that holds it."""
    events: dict[str, list[EventRow]]


class MemoryResponses:
    """See ``ResponseStore``. ``most`` is the number of responses kept, and of conversations; ``size`` is bytes of all
    together."""

    def __init__(self, most: int = 10_000, size: int = 256 * 1024 * 1024) -> None:
        self._most = most
        self._limit = size
        self._size = 0
        self._shelves: dict[Scope, _Shelf] = {}
        self._order: OrderedDict[tuple[Scope, str], None] = OrderedDict()
        self._begun: OrderedDict[tuple[Scope, str], None] = OrderedDict()

    async def put(
        self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = (), kept: Iterable[str] = ()
    ) -> bool:
        shelf = self._shelf(scope)
        conversation = None
        if row.conversation is not None:
            conversation = shelf.conversations.get(row.conversation)
            if conversation is None or conversation.row.expires <= row.created:
                return False
            conversation.row = structs.replace(conversation.row, expires=max(conversation.row.expires, row.expires))
            self._append(conversation, added)
        for name in kept:
            if (known := shelf.responses.get(name)) is not None and known.expires < row.expires:
                shelf.responses[name] = structs.replace(known, expires=row.expires)
        self._set(scope, shelf, row)
        return True

    async def get(self, scope: Scope, response_id: str, now: float) -> ResponseRow | None:
        shelf = self._shelves.get(scope)
        row = None if shelf is None else shelf.responses.get(response_id)
        return row if row is not None and row.expires > now else None

    async def chain(self, scope: Scope, response_id: str, now: float, limit: int) -> list[ResponseRow]:
        rows: list[ResponseRow] = []
        name: str | None = response_id
        while name is not None and len(rows) <= limit:
            row = await self.get(scope, name, now)
            if row is None:
                return []
            rows.append(row)
            name = row.parent
        return rows[::-1]

    async def holders(self, scope: Scope, item_ids: Iterable[str], now: float) -> dict[str, ResponseRow]:
        shelf = self._shelves.get(scope)
        found: dict[str, ResponseRow] = {}
        for item_id in item_ids if shelf is not None else ():
            assert shelf is not None  # noqa: S101  # else there is nothing to loop over
            row = await self.get(scope, shelf.holders.get(item_id, ""), now)
            if row is not None:
                found[item_id] = row
        return found

    async def delete(self, scope: Scope, response_id: str, now: float) -> bool:
        row = await self.get(scope, response_id, now)
        self._drop(scope, response_id)
        return row is not None

    async def add_conversation(self, scope: Scope, row: ConversationRow, items: Sequence[ItemRow]) -> None:
        self._shelf(scope).conversations[row.id] = made = _Conversation(row, {})
        self._append(made, items)
        self._begun[scope, row.id] = None
        self._shrink()

    async def conversation(self, scope: Scope, conversation_id: str, now: float) -> ConversationRow | None:
        found = self._find(scope, conversation_id, now)
        return None if found is None else found.row

    async def set_conversation(self, scope: Scope, conversation_id: str, data: bytes, now: float) -> bool:
        found = self._find(scope, conversation_id, now)
        if found is not None:
            found.row = structs.replace(found.row, data=data)
        return found is not None

    async def delete_conversation(self, scope: Scope, conversation_id: str, now: float) -> bool:
        found = self._find(scope, conversation_id, now)
        self._drop_conversation(scope, conversation_id)
        return found is not None

    async def add_items(self, scope: Scope, conversation_id: str, items: Sequence[ItemRow], now: float) -> bool:
        found = self._find(scope, conversation_id, now)
        if found is None:
            return False
        self._append(found, items)
        self._shrink()
        return True

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
        found = self._find(scope, conversation_id, now)
        if found is None or (after is not None and after not in found.items):
            return None
        items = list(found.items.values())
        if descending:
            items.reverse()
        start = 0 if after is None else next(n for n, item in enumerate(items, 1) if item.id == after)
        return items[start : start + limit]

    async def item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> ItemRow | None:
        found = self._find(scope, conversation_id, now)
        return None if found is None else found.items.get(item_id)

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> bool:
        found = self._find(scope, conversation_id, now)
        item = None if found is None else found.items.pop(item_id, None)
        self._size -= 0 if item is None else len(item.data)
        return item is not None

    async def add_events(self, scope: Scope, response_id: str, events: Sequence[EventRow]) -> None:
        shelf = self._shelves.get(scope)
        if shelf is not None and response_id in shelf.responses and events:
            log = shelf.events.setdefault(response_id, [])
            while log and log[-1].number >= events[0].number:
                self._size -= len(log.pop().data)
            log.extend(events)
            self._size += sum(len(event.data) for event in events)
            self._shrink()

    async def events(self, scope: Scope, response_id: str, after: int, limit: int) -> list[EventRow]:
        shelf = self._shelves.get(scope)
        log = [] if shelf is None else shelf.events.get(response_id, [])
        return [event for event in log if event.number > after][:limit]

    async def renew(self, scope: Scope, response_id: str, lease: float) -> Status | None:
        shelf = self._shelves.get(scope)
        row = None if shelf is None else shelf.responses.get(response_id)
        if shelf is None or row is None:
            return None
        if row.status in _RUNNING:
            shelf.responses[response_id] = structs.replace(row, lease=lease)
        return row.status

    async def finish(self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = ()) -> bool:
        shelf = self._shelves.get(scope)
        known = None if shelf is None else shelf.responses.get(row.id)
        if known is None or known.status not in _RUNNING:
            return False
        return await self.put(scope, row, added=added)

    async def listed(self, scope: Scope, limit: int) -> tuple[list[ResponseRow], list[ConversationRow]]:
        if (shelf := self._shelves.get(scope)) is None:
            return [], []
        begun = [conversation.row for conversation in shelf.conversations.values()]
        return list(shelf.responses.values())[:limit], begun[:limit]

    async def forget(self, scope: Scope) -> int:
        shelf = self._shelves.get(scope)
        if shelf is None:
            return 0
        names, conversations = list(shelf.responses), list(shelf.conversations)
        for name in names:
            self._drop(scope, name)
        for name in conversations:
            self._drop_conversation(scope, name)
        return len(names) + len(conversations)

    async def orphans(self, now: float, limit: int) -> list[tuple[Scope, ResponseRow]]:
        found = [
            (scope, row)
            for scope, shelf in self._shelves.items()
            for row in shelf.responses.values()
            if row.status in _RUNNING and 0 < row.lease <= now
        ]
        return found[:limit]

    async def purge(self, now: float, limit: int = 1000) -> int:
        gone = [
            (scope, name)
            for scope, shelf in self._shelves.items()
            for name, row in shelf.responses.items()
            if row.expires <= now
        ][:limit]
        ended = [
            (scope, name)
            for scope, shelf in self._shelves.items()
            for name, found in shelf.conversations.items()
            if found.row.expires <= now
        ][:limit]
        for scope, name in gone:
            self._drop(scope, name)
        for scope, name in ended:
            self._drop_conversation(scope, name)
        return len(gone) + len(ended)

    def _shelf(self, scope: Scope) -> _Shelf:
        shelf = self._shelves.get(scope)
        if shelf is None:
            shelf = self._shelves[scope] = _Shelf(OrderedDict(), {}, {}, {})
        return shelf

    def _find(self, scope: Scope, conversation_id: str, now: float) -> _Conversation | None:
        shelf = self._shelves.get(scope)
        found = None if shelf is None else shelf.conversations.get(conversation_id)
        return found if found is not None and found.row.expires > now else None

    def _set(self, scope: Scope, shelf: _Shelf, row: ResponseRow) -> None:
        known = shelf.responses.get(row.id)
        self._size += len(row.data) - (0 if known is None else len(known.data))
        shelf.responses[row.id] = row
        for item_id in row.items:
            shelf.holders[item_id] = row.id
        self._order[scope, row.id] = None
        self._shrink()

    def _append(self, conversation: _Conversation, items: Sequence[ItemRow]) -> None:
        for item in items:
            if item.id not in conversation.items:
                conversation.items[item.id] = item
                self._size += len(item.data)

    def _shrink(self) -> None:
        """Drops the oldest: responses first, since a conversation is what somebody made on purpose."""
        while self._order and (len(self._order) > self._most or self._size > self._limit):
            self._drop(*next(iter(self._order)))
        while self._begun and (len(self._begun) > self._most or self._size > self._limit):
            self._drop_conversation(*next(iter(self._begun)))

    def _drop(self, scope: Scope, response_id: str) -> None:
        shelf = self._shelves.get(scope)
        self._order.pop((scope, response_id), None)
        row = None if shelf is None else shelf.responses.pop(response_id, None)
        if shelf is None or row is None:
            return
        self._size -= len(row.data) + sum(len(event.data) for event in shelf.events.pop(response_id, ()))
        for item_id in row.items:
            if shelf.holders.get(item_id) == response_id:
                del shelf.holders[item_id]
        self._tidy(scope, shelf)

    def _drop_conversation(self, scope: Scope, conversation_id: str) -> None:
        shelf = self._shelves.get(scope)
        self._begun.pop((scope, conversation_id), None)
        gone = None if shelf is None else shelf.conversations.pop(conversation_id, None)
        if shelf is not None and gone is not None:
            self._size -= sum(len(item.data) for item in gone.items.values())
            self._tidy(scope, shelf)

    def _tidy(self, scope: Scope, shelf: _Shelf) -> None:
        if not shelf.responses and not shelf.conversations:
            self._shelves.pop(scope, None)
