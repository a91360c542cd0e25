"""Conversations and their items: functions of ``ORMResponses``, each given the name of the database."""

from collections.abc import Sequence
from typing import TypeVar

from django.db.models import F, Model, QuerySet, Value
from django.db.models.functions import Greatest

from asgi_llm.stores.responses import ConversationRow, ItemRow
from asgi_llm.stores.scope import Scope
from asgi_llm_django.models import Conversation, ConversationItem

__all__ = ["add", "append", "change", "delete", "delete_item", "drop", "get", "item", "items", "owned", "row"]

M = TypeVar("M", bound=Model)


def owned(model: type[M], database: str, scope: Scope) -> QuerySet[M]:
    """All rows of the scope."""
    return model._default_manager.using(database).filter(tenant=scope.tenant, subject=scope.subject)  # noqa: SLF001  # documented


def _alive(database: str, scope: Scope, name: str, now: float) -> QuerySet[Conversation]:
    return owned(Conversation, database, scope).filter(name=name, expires__gt=now)


def add(database: str, scope: Scope, row: ConversationRow, added: Sequence[ItemRow]) -> None:
    Conversation.objects.using(database).create(
        tenant=scope.tenant, subject=scope.subject, name=row.id, created=row.created, expires=row.expires, data=row.data
    )
    append(database, scope, row.id, added, row.created)


def get(database: str, scope: Scope, name: str, now: float) -> ConversationRow | None:
    found = _alive(database, scope, name, now).first()
    return None if found is None else row(found)


def row(found: Conversation) -> ConversationRow:
    return ConversationRow(id=found.name, created=found.created, expires=found.expires, data=bytes(found.data))


def change(database: str, scope: Scope, name: str, data: bytes, now: float) -> bool:
    return bool(_alive(database, scope, name, now).update(data=data))


def delete(database: str, scope: Scope, name: str, now: float) -> bool:
    return bool(drop(_alive(database, scope, name, now)))


def drop(conversations: QuerySet[Conversation]) -> int:
    """Deletes them and their items, without reading what they hold; how many conversations."""
    _, gone = conversations.only("pk").delete()
    return gone.get(Conversation._meta.label, 0)  # noqa: SLF001  # documented


def append(database: str, scope: Scope, name: str, added: Sequence[ItemRow], now: float, expires: float = 0.0) -> bool:
    """Adds to the conversation, whose row is locked by the update: two that add at once do it one after the other."""
    alive = _alive(database, scope, name, now)
    if not alive.update(length=F("length") + len(added), expires=Greatest(F("expires"), Value(expires))):
        return False
    if not added:
        return True
    row = owned(Conversation, database, scope).only("pk", "length").get(name=name)
    inside = ConversationItem.objects.using(database).filter(conversation=row)
    present = set(inside.filter(name__in=[one.id for one in added]).values_list("name", flat=True))
    fresh = {one.id: one for one in reversed(added) if one.id not in present}
    start = row.length - len(added)
    ConversationItem.objects.using(database).bulk_create(
        [
            ConversationItem(conversation=row, name=one.id, place=start + place, data=one.data)
            for place, one in enumerate(reversed(fresh.values()))
        ]
    )
    return True


def items(
    database: str, scope: Scope, name: str, now: float, limit: int, after: str | None, descending: bool
) -> list[ItemRow] | None:
    row = _alive(database, scope, name, now).only("pk").first()
    if row is None:
        return None
    inside = ConversationItem.objects.using(database).filter(conversation=row)
    if after is not None:
        place = inside.filter(name=after).values_list("place", flat=True).first()
        if place is None:
            return None
        inside = inside.filter(place__lt=place) if descending else inside.filter(place__gt=place)
    found = inside.order_by("-place" if descending else "place").values_list("name", "data")[:limit]
    return [ItemRow(one, bytes(data)) for one, data in found]


def item(database: str, scope: Scope, name: str, item_id: str, now: float) -> ItemRow | None:
    found = _item(database, scope, name, item_id, now).values_list("name", "data").first()
    return None if found is None else ItemRow(found[0], bytes(found[1]))


def delete_item(database: str, scope: Scope, name: str, item_id: str, now: float) -> bool:
    gone, _ = _item(database, scope, name, item_id, now).delete()
    return bool(gone)


def _item(database: str, scope: Scope, name: str, item_id: str, now: float) -> QuerySet[ConversationItem]:
    return ConversationItem.objects.using(database).filter(
        conversation__in=_alive(database, scope, name, now), name=item_id
    )
