"""What was changed at run time about the workers of the settings: who came, who is drained, who is gone.

One for a process; every event loop's fleet follows it. It is a copy of a board (``stores/boards.py``): who has a newer
one replaces all of it, so that no change can be missed.
"""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from asgi_llm.errors import ConfigError
from asgi_llm.settings import WorkerSettings
from asgi_llm.stores.boards import Board

from .member import Member, compile_member
from .target import Target

__all__ = ["BOARD", "Change", "Roster", "Seat", "worker_id"]

logger = logging.getLogger("asgi_llm")

BOARD = "fleet"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """About one worker. ``worker`` is its settings as they were given, with references in place of secrets; None for
    one of the settings file. ``state`` is what is wanted of it."""

    target: str
    key: str
    worker: dict[str, Any] | None = None
    state: str = "active"


class Seat(msgspec.Struct, frozen=True):
    """A worker as every fleet of the process is to have it."""

    member: Member
    draining: bool


_decoder = msgspec.json.Decoder(Change)


def worker_id(target: str, key: str) -> str:
    """A worker's public name: the same in every process, and without its address."""
    return "w_" + hashlib.blake2b(f"{target}\n{key}".encode(), digest_size=8).hexdigest()


class Roster:
    """
    Attributes:
        version: of the board that it was made from; 0 while nothing was changed.
        entries: of that board, as they are there.
        changes: by the worker's id, each with what it was compiled to, where it brings settings.
    """

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets
        self._lock = threading.Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
        self.version = 0
        self.entries: Mapping[str, bytes] = {}
        self.changes: Mapping[str, tuple[Change, Member | None]] = {}

    def listen(self, loop: asyncio.AbstractEventLoop, told: Callable[[], None]) -> None:
        """``told`` is called in ``loop`` after every change, until ``forget``."""
        with self._lock:
            self._listeners = [known for known in self._listeners if not known[0].is_closed()]
            self._listeners.append((loop, told))

    def forget(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._listeners = [known for known in self._listeners if known[0] is not loop]

    def follow(self, board: Board, *, back: bool = False) -> None:
        """Takes over ``board``, if it is newer or may go ``back``. May read files that its entries refer to: not for
        an event loop. What cannot be used here (a variable that is not set, say) is logged and left out."""
        with self._lock:
            if board.version < self.version and not back:
                return
            self.changes = {
                name: found for name, value in board.entries.items() if (found := self._read(name, value)) is not None
            }
            self.version, self.entries = board.version, dict(board.entries)
            listeners = list(self._listeners)
        for loop, told in listeners:
            try:
                loop.call_soon_threadsafe(told)
            except RuntimeError:  # closed in this very moment
                continue

    def _read(self, name: str, value: bytes) -> tuple[Change, Member | None] | None:
        if self.entries.get(name) == value and name in self.changes:
            return self.changes[name]
        try:
            change = _decoder.decode(value)
            return change, None if change.worker is None else self.compile(change.target, change.worker)
        except (msgspec.DecodeError, ValidationError, ConfigError, KeyError) as error:
            # What pydantic says may hold a secret.
            said = "; ".join(map(str, error.problems)) if isinstance(error, ConfigError) else type(error).__name__
            logger.error("the worker %s, which was added at run time, cannot be used here: %s", name, said)  # noqa: TRY400
            return None

    def compile(self, target: str, worker: Mapping[str, Any]) -> Member:
        """A worker of ``target`` out of settings as they are given.

        Raises:
            KeyError: there is no such target.
            ValidationError: the settings are wrong.
            ConfigError: they cannot be used here.
        """
        found = self._targets[target]
        return compile_member(found.settings, found.provider, WorkerSettings.model_validate(worker))

    def seats(self, target: Target) -> dict[str, Seat]:
        """The workers that ``target`` is to have, by key."""
        seats = {member.key: Seat(member, draining=False) for member in target.members}
        for change, member in self.changes.values():
            if change.target != target.name:
                continue
            seat = seats.pop(change.key, None)
            member = member or (seat.member if seat is not None else None)
            if change.state != "removed" and member is not None:
                seats[change.key] = Seat(member, draining=change.state == "draining")
        return seats
