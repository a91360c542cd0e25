"""What a request builds upon: the items of earlier responses or of a conversation, and those it refers to by id."""

import hashlib

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import ClientError, Kind
from asgi_llm.settings import ResponseSettings
from asgi_llm.stores.responses import ResponseRow, ResponseStore
from asgi_llm.stores.scope import Scope

from .asked import may_refer
from .pins import unreachable
from .records import Kept, KeptItem, Upstream, unseal
from .vault import Vault

__all__ = ["Earlier", "Expansion", "missing", "output_of"]

_PAGE = 500


class Earlier(Struct, frozen=True):
    """``parents`` are the responses that were built upon, the oldest first; ``upstream`` what an upstream calls the
    last one. ``late``: it is not all that was said, but the later part of it."""

    items: list[KeptItem]
    parents: tuple[str, ...] = ()
    upstream: Upstream | None = None
    late: bool = False


class _Output(Struct):
    output: list[Raw] | None = None


class _Named(Struct):
    type: str | None = None
    id: str | None = None


_output = msgspec.json.Decoder(_Output)
_named = msgspec.json.Decoder(_Named)


def missing(what: str, name: str, code: str, param: str) -> ClientError:
    """The same for what never was, is another's, was deleted or has expired."""
    return ClientError(f"{what} with id '{name[:100]}' not found.", code=code, param=param, kind=Kind.NOT_FOUND)


def output_of(kept: Kept) -> list[KeptItem]:
    """The items that a kept response answered with."""
    return [KeptItem(_id_of(item), item, kept.maker) for item in _output.decode(kept.response).output or ()]


def _id_of(item: Raw) -> str:
    """The item's own id, or one that follows from what it is: it must be the same whenever it is read."""
    return _named.decode(item).id or f"item_{hashlib.sha256(item).hexdigest()[:32]}"


class Expansion:
    """Looks things up for one scope at one time, within the limits of the settings. ``late``: of what is longer than
    that, the later part will do."""

    def __init__(
        self,
        store: ResponseStore,
        vault: Vault,
        settings: ResponseSettings,
        scope: Scope,
        now: float,
        *,
        late: bool = False,
    ) -> None:
        self._store = store
        self._vault = vault
        self._settings = settings
        self._scope = scope
        self._now = now
        self._size = 0
        self._late = late

    async def response(self, response_id: str) -> Earlier:
        """
        Raises:
            ClientError: it, or one that it builds upon, is not there; it is not ended; or all together is too much.
        """
        rows = await self._store.chain(self._scope, response_id, self._now, self._settings.max_turns)
        if not rows:
            raise missing("Previous response", response_id, "previous_response_not_found", "previous_response_id")
        if rows[-1].status in ("queued", "in_progress"):
            said = f"Previous response with id '{response_id[:100]}' has not ended yet."
            raise ClientError(said, code="previous_response_not_ended", param="previous_response_id")
        taken = self._latest(rows)
        found: list[KeptItem] = []
        kept: Kept | None = None
        for row in taken:
            kept = unseal(self._vault, row.data, Kept)
            if kept.pin is not None:
                raise unreachable("previous_response_id")
            found += [*kept.input, *output_of(kept)]
        upstream = kept.upstream if kept is not None else None
        return Earlier(found, tuple(row.id for row in rows), upstream, len(taken) < len(rows))

    def _latest(self, rows: list[ResponseRow]) -> list[ResponseRow]:
        """As many of ``rows`` as the limits allow.

        Raises:
            ClientError: that is not all of them, and has to be.
        """
        taken: list[ResponseRow] = []
        for row in reversed(rows):
            if len(taken) >= self._settings.max_turns or self._is_too_much(row.data):
                if not self._late:
                    raise self._too_long()
                break
            taken.append(row)
        return taken[::-1]

    async def conversation(self, conversation_id: str) -> Earlier:
        """
        Raises:
            ClientError: it is not there, or too long.
        """
        found: list[KeptItem] = []
        after: str | None = None
        while True:
            page = await self._store.items(
                self._scope, conversation_id, self._now, limit=_PAGE, after=after, descending=True
            )
            if page is None:
                raise missing("Conversation", conversation_id, "conversation_not_found", "conversation")
            for row in page:
                if self._is_too_much(row.data):
                    if not self._late:
                        raise self._too_long()
                    return Earlier(found[::-1], late=True)
                found.append(unseal(self._vault, row.data, KeptItem))
            if len(page) < _PAGE:
                return Earlier(found[::-1])
            after = page[-1].id

    async def references(self, items: list[KeptItem], earlier: list[KeptItem]) -> list[KeptItem]:
        """``items`` with what they refer to in place of references. What is in ``earlier`` is there already, and need
        not be said again.

        Raises:
            ClientError: one of them refers to what is not there.
        """
        wanted = [name for item in items if (name := _reference(item)) is not None]
        if not wanted:
            return items
        present = {item.id for item in earlier}
        rows = await self._store.holders(self._scope, [name for name in wanted if name not in present], self._now)
        held = self._unpack(rows)
        resolved: list[KeptItem] = []
        for place, item in enumerate(items):
            name = _reference(item)
            if name is None:
                resolved.append(item)
            elif name in held:
                resolved.append(held[name])
            elif name not in present:
                raise missing("Item", name, "item_not_found", f"input[{place}]")
        return resolved

    def _unpack(self, rows: dict[str, ResponseRow]) -> dict[str, KeptItem]:
        held: dict[str, KeptItem] = {}
        for row in {row.id: row for row in rows.values()}.values():
            self._weigh(row.data)
            kept = unseal(self._vault, row.data, Kept)
            held |= {item.id: item for item in (*kept.input, *output_of(kept))}
        return held

    def _is_too_much(self, data: bytes) -> bool:
        self._size += len(data)
        return self._size > self._settings.max_history

    def _weigh(self, data: bytes) -> None:
        if self._is_too_much(data):
            raise self._too_long()

    def _too_long(self) -> ClientError:
        return ClientError(
            "the conversation is longer than this gateway takes up again; compact it or begin a new one",
            code="history_too_long",
            kind=Kind.CONTEXT_LENGTH,
        )


def _reference(item: KeptItem) -> str | None:
    if not may_refer(bytes(item.item)):
        return None
    named = _named.decode(item.item)
    return named.id if named.type == "item_reference" else None
