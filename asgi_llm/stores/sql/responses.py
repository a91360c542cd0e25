"""Responses and conversations in a SQL database. See ``ResponseStore``."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, and_, delete, exists, func, insert, literal, select, tuple_, update

from asgi_llm.stores.responses import ConversationRow, EventRow, ItemRow, ResponseRow, Status
from asgi_llm.stores.scope import Scope

from .connection import WholeConnection
from .database import Database
from .responses_tables import SCHEMA, conversation_items, conversations, events, held, responses

__all__ = ["SQLResponses"]

_RUNNING = ("queued", "in_progress")
_COLUMNS = ("id", "created", "expires", "status", "data", "parent", "conversation", "lease")


class SQLResponses:
    """See ``ResponseStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = (), kept: Iterable[str] = ()
    ) -> bool:
        async with self._database.write(SCHEMA) as connection:
            if row.conversation is not None and not await _append(
                connection, scope, row.conversation, added, row.created, row.expires
            ):
                return False
            if names := list(kept):
                later = and_(_own(responses, scope), responses.c.id.in_(names), responses.c.expires < row.expires)
                await connection.execute(update(responses).where(later).values(expires=row.expires))
            await connection.execute(delete(responses).where(_is(responses, scope, row.id)))
            await _add(connection, scope, row)
        return True

    async def get(self, scope: Scope, response_id: str, now: float) -> ResponseRow | None:
        async with self._database.read(SCHEMA) as connection:
            found = await connection.execute(_rows(scope, now).where(responses.c.id == response_id))
            row = found.one_or_none()
        return None if row is None else _response(row)

    async def chain(self, scope: Scope, response_id: str, now: float, limit: int) -> list[ResponseRow]:
        first = select(responses.c.id, responses.c.parent, literal(0).label("depth")).where(
            _is(responses, scope, response_id), responses.c.expires > now
        )
        walk = first.cte("walk", recursive=True)
        step = select(responses.c.id, responses.c.parent, walk.c.depth + 1).where(
            _own(responses, scope), responses.c.id == walk.c.parent, responses.c.expires > now, walk.c.depth < limit
        )
        walk = walk.union_all(step)
        asked = (
            select(*(responses.c[name] for name in _COLUMNS))
            .join(walk, walk.c.id == responses.c.id)
            .where(_own(responses, scope))
            .order_by(walk.c.depth.desc())
        )
        async with self._database.read(SCHEMA) as connection:
            rows = [_response(row) for row in await connection.execute(asked)]
        whole = len(rows) > limit or (rows and rows[0].parent is None)
        return rows if whole else []

    async def holders(self, scope: Scope, item_ids: Iterable[str], now: float) -> dict[str, ResponseRow]:
        asked = (
            select(held.c.item, *(responses.c[name] for name in _COLUMNS))
            .join(responses, and_(held.c.owner == responses.c.id, _own(responses, scope)))
            .where(_own(held, scope), held.c.item.in_(list(item_ids)), responses.c.expires > now)
            .order_by(responses.c.created)
        )
        async with self._database.read(SCHEMA) as connection:
            return {row.item: _response(row) for row in await connection.execute(asked)}

    async def delete(self, scope: Scope, response_id: str, now: float) -> bool:
        return await self._delete(and_(_is(responses, scope, response_id), responses.c.expires > now), responses)

    async def add_conversation(self, scope: Scope, row: ConversationRow, items: Sequence[ItemRow]) -> None:
        async with self._database.write(SCHEMA) as connection:
            values = {"id": row.id, "created": row.created, "expires": row.expires, "data": row.data, "length": 0}
            await connection.execute(insert(conversations).values(**_named(scope), **values))
            await _append(connection, scope, row.id, items, row.created, row.expires)

    async def conversation(self, scope: Scope, conversation_id: str, now: float) -> ConversationRow | None:
        columns = (conversations.c[name] for name in ("id", "created", "expires", "data"))
        asked = select(*columns).where(_is(conversations, scope, conversation_id), conversations.c.expires > now)
        async with self._database.read(SCHEMA) as connection:
            row = (await connection.execute(asked)).one_or_none()
        return None if row is None else _conversation(row)

    async def set_conversation(self, scope: Scope, conversation_id: str, data: bytes, now: float) -> bool:
        where = and_(_is(conversations, scope, conversation_id), conversations.c.expires > now)
        async with self._database.write(SCHEMA) as connection:
            done = await connection.execute(update(conversations).where(where).values(data=data))
        return bool(done.rowcount)

    async def delete_conversation(self, scope: Scope, conversation_id: str, now: float) -> bool:
        where = and_(_is(conversations, scope, conversation_id), conversations.c.expires > now)
        return await self._delete(where, conversations)

    async def add_items(self, scope: Scope, conversation_id: str, items: Sequence[ItemRow], now: float) -> bool:
        async with self._database.write(SCHEMA) as connection:
            return await _append(connection, scope, conversation_id, items, now, 0.0)

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
        table = conversation_items
        inside = and_(_own(table, scope), table.c.owner == conversation_id)
        asked = select(table.c.id, table.c.data).where(inside)
        async with self._database.read(SCHEMA) as connection:
            if not await _alive(connection, scope, conversation_id, now):
                return None
            if after is not None:
                place = await connection.scalar(select(table.c.place).where(inside, table.c.id == after))
                if place is None:
                    return None
                asked = asked.where(table.c.place < place if descending else table.c.place > place)
            order = table.c.place.desc() if descending else table.c.place
            found = await connection.execute(asked.order_by(order).limit(limit))
            return [ItemRow(row.id, row.data) for row in found]

    async def item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> ItemRow | None:
        table = conversation_items
        asked = select(table.c.id, table.c.data).where(_item(scope, conversation_id, item_id))
        async with self._database.read(SCHEMA) as connection:
            if not await _alive(connection, scope, conversation_id, now):
                return None
            row = (await connection.execute(asked)).one_or_none()
        return None if row is None else ItemRow(row.id, row.data)

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str, now: float) -> bool:
        async with self._database.write(SCHEMA) as connection:
            if not await _alive(connection, scope, conversation_id, now):
                return False
            done = await connection.execute(delete(conversation_items).where(_item(scope, conversation_id, item_id)))
        return bool(done.rowcount)

    async def add_events(self, scope: Scope, response_id: str, events_: Sequence[EventRow]) -> None:
        async with self._database.write(SCHEMA) as connection:
            there = await connection.scalar(select(responses.c.id).where(_is(responses, scope, response_id)))
            if there is not None and events_:
                values = [
                    {**_named(scope), "owner": response_id, "number": one.number, "data": one.data} for one in events_
                ]
                inside = and_(_own(events, scope), events.c.owner == response_id)
                await connection.execute(delete(events).where(inside, events.c.number >= events_[0].number))
                await connection.execute(insert(events), values)

    async def events(self, scope: Scope, response_id: str, after: int, limit: int) -> list[EventRow]:
        inside = and_(_own(events, scope), events.c.owner == response_id, events.c.number > after)
        asked = select(events.c.number, events.c.data).where(inside).order_by(events.c.number).limit(limit)
        async with self._database.read(SCHEMA) as connection:
            return [EventRow(row.number, row.data) for row in await connection.execute(asked)]

    async def renew(self, scope: Scope, response_id: str, lease: float) -> Status | None:
        running = and_(_is(responses, scope, response_id), responses.c.status.in_(_RUNNING))
        async with self._database.write(SCHEMA) as connection:
            await connection.execute(update(responses).where(running).values(lease=lease))
            status: Status | None = await connection.scalar(
                select(responses.c.status).where(_is(responses, scope, response_id))
            )
        return status

    async def finish(self, scope: Scope, row: ResponseRow, *, added: Sequence[ItemRow] = ()) -> bool:
        running = and_(_is(responses, scope, row.id), responses.c.status.in_(_RUNNING))
        values = {name: getattr(row, name) for name in ("status", "data", "expires")}
        async with self._database.write(SCHEMA) as connection:
            done = await connection.execute(update(responses).where(running).values(lease=0.0, **values))
            if not done.rowcount:
                return False
            if row.conversation is not None:
                await _append(connection, scope, row.conversation, added, row.created, row.expires)
            await connection.execute(delete(held).where(_own(held, scope), held.c.owner == row.id))
            await _hold(connection, scope, row)
        return True

    async def listed(self, scope: Scope, limit: int) -> tuple[list[ResponseRow], list[ConversationRow]]:
        async with self._database.read(SCHEMA) as connection:
            rows = await connection.execute(_rows(scope, 0.0).limit(limit))
            made = [_response(row) for row in rows]
            columns = (conversations.c[name] for name in ("id", "created", "expires", "data"))
            begun = await connection.execute(select(*columns).where(_own(conversations, scope)).limit(limit))
            return made, [_conversation(row) for row in begun]

    async def forget(self, scope: Scope) -> int:
        async with self._database.write(SCHEMA) as connection:
            gone = await connection.execute(delete(responses).where(_own(responses, scope)))
            ended = await connection.execute(delete(conversations).where(_own(conversations, scope)))
        return gone.rowcount + ended.rowcount

    async def orphans(self, now: float, limit: int) -> list[tuple[Scope, ResponseRow]]:
        columns = (responses.c[name] for name in ("tenant", "subject", *_COLUMNS))
        left = and_(responses.c.status.in_(_RUNNING), responses.c.lease > 0, responses.c.lease <= now)
        async with self._database.read(SCHEMA) as connection:
            found = await connection.execute(select(*columns).where(left).limit(limit))
            return [(Scope(row.tenant, row.subject), _response(row)) for row in found]

    async def purge(self, now: float, limit: int = 1000) -> int:
        count = 0
        for table in (responses, conversations):
            async with self._database.write(SCHEMA) as connection:
                names = (table.c.tenant, table.c.subject, table.c.id)
                expired = select(*names).where(table.c.expires <= now).limit(limit)
                count += (await connection.execute(delete(table).where(tuple_(*names).in_(expired)))).rowcount
        return count

    async def _delete(self, where: ColumnElement[bool], table: Table) -> bool:
        async with self._database.write(SCHEMA) as connection:
            done = await connection.execute(delete(table).where(where))
        return bool(done.rowcount)


async def _add(connection: WholeConnection, scope: Scope, row: ResponseRow) -> None:
    values = {name: getattr(row, name) for name in _COLUMNS}
    await connection.execute(insert(responses).values(**_named(scope), **values))
    await _hold(connection, scope, row)


async def _hold(connection: WholeConnection, scope: Scope, row: ResponseRow) -> None:
    if row.items:
        names = dict.fromkeys(row.items)
        await connection.execute(insert(held), [{**_named(scope), "item": name, "owner": row.id} for name in names])


async def _append(
    connection: WholeConnection, scope: Scope, name: str, items: Sequence[ItemRow], now: float, expires: float
) -> bool:
    """Adds to the conversation, whose row is locked by the update: two that add at once do it one after the other."""
    table = conversations
    alive = and_(_is(table, scope, name), table.c.expires > now)
    longer = func.max if connection.dialect.name == "sqlite" else func.greatest
    values = {"length": table.c.length + len(items), "expires": longer(table.c.expires, expires)}
    done = await connection.execute(update(table).where(alive).values(values))
    if not done.rowcount:
        return False
    if not items:
        return True
    end = await connection.scalar(select(table.c.length).where(_is(table, scope, name))) or 0
    inside = and_(_own(conversation_items, scope), conversation_items.c.owner == name)
    known = select(conversation_items.c.id).where(inside, conversation_items.c.id.in_([item.id for item in items]))
    present = set(await connection.scalars(known))
    fresh = {item.id: item for item in reversed(items) if item.id not in present}
    rows = [
        {**_named(scope), "owner": name, "id": item.id, "place": end - len(items) + place, "data": item.data}
        for place, item in enumerate(reversed(fresh.values()))
    ]
    if rows:
        await connection.execute(insert(conversation_items), rows)
    return True


async def _alive(connection: WholeConnection, scope: Scope, name: str, now: float) -> bool:
    there = exists().where(_is(conversations, scope, name), conversations.c.expires > now)
    return bool(await connection.scalar(select(there)))


def _named(scope: Scope) -> dict[str, str]:
    return {"tenant": scope.tenant, "subject": scope.subject}


def _own(table: Table, scope: Scope) -> ColumnElement[bool]:
    return and_(table.c.tenant == scope.tenant, table.c.subject == scope.subject)


def _is(table: Table, scope: Scope, name: str) -> ColumnElement[bool]:
    return and_(_own(table, scope), table.c.id == name)


def _item(scope: Scope, conversation: str, name: str) -> ColumnElement[bool]:
    table = conversation_items
    return and_(_own(table, scope), table.c.owner == conversation, table.c.id == name)


def _rows(scope: Scope, now: float) -> Any:
    return select(*(responses.c[name] for name in _COLUMNS)).where(_own(responses, scope), responses.c.expires > now)


def _response(row: Row[Any]) -> ResponseRow:
    """Without the ids of its items, which are for looking it up."""
    return ResponseRow(**{name: getattr(row, name) for name in _COLUMNS})


def _conversation(row: Row[Any]) -> ConversationRow:
    return ConversationRow(id=row.id, created=row.created, expires=row.expires, data=row.data)
