"""Responses, with their items and events."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import QuerySet

from asgi_llm.stores.responses import ConversationRow, EventRow, ItemRow, ResponseRow, Status
from asgi_llm.stores.scope import Scope
from asgi_llm_django.models import Conversation, Response, ResponseEvent, ResponseItem

from . import conversations
from .conversations import append, owned
from .desk import Desk

__all__ = ["ORMResponses", "forget", "put"]

_RUNNING = ("queued", "in_progress")
_COLUMNS = ("created", "expires", "status", "data", "parent", "conversation", "lease")
_CHAIN = """
    WITH RECURSIVE walk (id, parent, depth) AS (
        SELECT id, parent, 0 FROM asgi_llm_response
        WHERE tenant = %(tenant)s AND subject = %(subject)s AND name = %(name)s AND expires > %(now)s
      UNION ALL
        SELECT one.id, one.parent, walk.depth + 1 FROM asgi_llm_response one JOIN walk ON one.name = walk.parent
        WHERE one.tenant = %(tenant)s AND one.subject = %(subject)s AND one.expires > %(now)s AND walk.depth < %(limit)s
    )
    SELECT one.* FROM asgi_llm_response one JOIN walk ON one.id = walk.id ORDER BY walk.depth DESC
"""
"""A response and all that it builds upon; the ORM cannot say such things."""


class ORMResponses:
    """Implements ``ResponseStore``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put(
        self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = (), kept: Iterable[str] = ()
    ) -> bool:
        return await self._desk.write(put, scope, row, added, list(kept))

    async def get(self, scope: Scope, response_id: str, now: float) -> ResponseRow | None:
        return await self._desk.read(_get, scope, response_id, now)

    async def chain(self, scope: Scope, response_id: str, now: float, limit: int) -> list[ResponseRow]:
        return await self._desk.read(_chain, scope, response_id, now, limit)

    async def holders(self, scope: Scope, item_ids: Iterable[str], now: float) -> dict[str, ResponseRow]:
        return await self._desk.read(_holders, scope, list(item_ids), now)

    async def delete(self, scope: Scope, response_id: str, now: float) -> bool:
        return await self._desk.write(_delete, scope, response_id, now)

    async def add_conversation(self, scope: Scope, row: ConversationRow, items: Sequence[ItemRow]) -> None:
        await self._desk.write(conversations.add, scope, row, items)

    async def conversation(self, scope: Scope, conversation_id: str, now: float) -> ConversationRow | None:
        return await self._desk.read(conversations.get, scope, conversation_id, now)

    async def set_conversation(self, scope: Scope, conversation_id: str, data: bytes, now: float) -> bool:
        return await self._desk.write(conversations.change, scope, conversation_id, data, now)

    async def delete_conversation(self, scope: Scope, conversation_id: str, now: float) -> bool:
        return await self._desk.write(conversations.delete, scope, conversation_id, now)

    async def add_items(self, scope: Scope, conversation_id: str, items: Sequence[ItemRow], now: float) -> bool:
        return await self._desk.write(append, scope, conversation_id, items, now)

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
        return await self._desk.read(conversations.items, scope, conversation_id, now, limit, after, descending)

    async def item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> ItemRow | None:
        return await self._desk.read(conversations.item, scope, conversation_id, item_id, now)

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> bool:
        return await self._desk.write(conversations.delete_item, scope, conversation_id, item_id, now)

    async def add_events(self, scope: Scope, response_id: str, events: Sequence[EventRow]) -> None:
        if events:
            await self._desk.write(_add_events, scope, response_id, events)

    async def events(self, scope: Scope, response_id: str, after: int, limit: int) -> list[EventRow]:
        return await self._desk.read(_events, scope, response_id, after, limit)

    async def renew(self, scope: Scope, response_id: str, lease: float) -> Status | None:
        return await self._desk.write(_renew, scope, response_id, lease)

    async def finish(self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = ()) -> bool:
        return await self._desk.write(_finish, scope, row, added)

    async def listed(self, scope: Scope, limit: int) -> tuple[list[ResponseRow], list[ConversationRow]]:
        return await self._desk.read(_listed, scope, limit)

    async def forget(self, scope: Scope) -> int:
        return await self._desk.write(forget, scope)

    async def orphans(self, now: float, limit: int) -> list[tuple[Scope, ResponseRow]]:
        return await self._desk.read(_orphans, now, limit)

    async def purge(self, now: float, limit: int = 1000) -> int:
        return await self._desk.write(_purge, now, limit)


def _own(database: str, scope: Scope, name: str) -> QuerySet[Response]:
    return owned(Response, database, scope).filter(name=name)


def put(database: str, scope: Scope, row: ResponseRow, added: Sequence[ItemRow], kept: list[str]) -> bool:
    if row.conversation is not None and not append(database, scope, row.conversation, added, row.created, row.expires):
        return False
    if kept:
        owned(Response, database, scope).filter(name__in=kept, expires__lt=row.expires).update(expires=row.expires)
    values = {name: getattr(row, name) for name in _COLUMNS}
    response, new = owned(Response, database, scope).update_or_create(
        defaults=values, tenant=scope.tenant, subject=scope.subject, name=row.id
    )
    if not new:
        _clear(database, response)
        ResponseEvent.objects.using(database).filter(response=response).delete()
    _hold(database, scope, response, row)
    return True


def _clear(database: str, response: Response) -> None:
    ResponseItem.objects.using(database).filter(response=response).delete()


def _hold(database: str, scope: Scope, response: Response, row: ResponseRow) -> None:
    ResponseItem.objects.using(database).bulk_create(
        [
            ResponseItem(tenant=scope.tenant, subject=scope.subject, name=name, response=response)
            for name in dict.fromkeys(row.items)
        ]
    )


def _get(database: str, scope: Scope, name: str, now: float) -> ResponseRow | None:
    found = _own(database, scope, name).filter(expires__gt=now).first()
    return None if found is None else _row(found)


def _chain(database: str, scope: Scope, name: str, now: float, limit: int) -> list[ResponseRow]:
    values = {"tenant": scope.tenant, "subject": scope.subject, "name": name, "now": now, "limit": limit}
    rows = [_row(found) for found in Response.objects.using(database).raw(_CHAIN, values)]
    whole = len(rows) > limit or (rows and rows[0].parent is None)
    return rows if whole else []


def _holders(database: str, scope: Scope, names: list[str], now: float) -> dict[str, ResponseRow]:
    held = owned(ResponseItem, database, scope).filter(name__in=names, response__expires__gt=now)
    return {item.name: _row(item.response) for item in held.select_related("response").order_by("response__created")}


def _delete(database: str, scope: Scope, name: str, now: float) -> bool:
    return bool(_drop(_own(database, scope, name).filter(expires__gt=now)))


def _drop(responses: QuerySet[Response]) -> int:
    """Deletes them and what is theirs, without reading what they hold."""
    _, gone = responses.only("pk").delete()
    return gone.get(Response._meta.label, 0)  # noqa: SLF001  # documented


def _add_events(database: str, scope: Scope, name: str, events: Sequence[EventRow]) -> None:
    response = _own(database, scope, name).only("pk").first()
    if response is not None:
        log = ResponseEvent.objects.using(database)
        log.filter(response=response, number__gte=events[0].number).delete()
        log.bulk_create([ResponseEvent(response=response, number=one.number, data=one.data) for one in events])


def _events(database: str, scope: Scope, name: str, after: int, limit: int) -> list[EventRow]:
    log = ResponseEvent.objects.using(database).filter(
        response__tenant=scope.tenant, response__subject=scope.subject, response__name=name, number__gt=after
    )
    return [
        EventRow(number, bytes(data)) for number, data in log.order_by("number").values_list("number", "data")[:limit]
    ]


def _renew(database: str, scope: Scope, name: str, lease: float) -> Status | None:
    _own(database, scope, name).filter(status__in=_RUNNING).update(lease=lease)
    status: Any = _own(database, scope, name).values_list("status", flat=True).first()
    return status  # type: ignore[no-any-return]  # one of them was written


def _finish(database: str, scope: Scope, row: ResponseRow, added: Sequence[ItemRow]) -> bool:
    running = _own(database, scope, row.id).filter(status__in=_RUNNING)
    if not running.update(lease=0.0, **{name: getattr(row, name) for name in ("status", "data", "expires")}):
        return False
    if row.conversation is not None:
        append(database, scope, row.conversation, added, row.created, row.expires)
    response = _own(database, scope, row.id).only("pk").get()
    _clear(database, response)
    _hold(database, scope, response, row)
    return True


def _listed(database: str, scope: Scope, limit: int) -> tuple[list[ResponseRow], list[ConversationRow]]:
    made = [_row(row) for row in owned(Response, database, scope)[:limit]]
    return made, [conversations.row(found) for found in owned(Conversation, database, scope)[:limit]]


def forget(database: str, scope: Scope) -> int:
    return _drop(owned(Response, database, scope)) + conversations.drop(owned(Conversation, database, scope))


def _orphans(database: str, now: float, limit: int) -> list[tuple[Scope, ResponseRow]]:
    left = Response.objects.using(database).filter(status__in=_RUNNING, lease__gt=0, lease__lte=now)
    return [(Scope(row.tenant, row.subject), _row(row)) for row in left[:limit]]


def _purge(database: str, now: float, limit: int) -> int:
    responses = Response.objects.using(database).filter(expires__lte=now)
    gone = _drop(Response.objects.using(database).filter(pk__in=list(responses.values_list("pk", flat=True)[:limit])))
    ended = Conversation.objects.using(database).filter(expires__lte=now)
    names = list(ended.values_list("pk", flat=True)[:limit])
    return gone + conversations.drop(Conversation.objects.using(database).filter(pk__in=names))


def _row(found: Response) -> ResponseRow:
    """Without the ids of its items, which are for looking it up."""
    values = {name: getattr(found, name) for name in _COLUMNS}
    return ResponseRow(**{**values, "id": found.name, "data": bytes(found.data)})
