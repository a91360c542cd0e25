"""What ties a request to a worker: the session it names, and what one worker alone can read.

Sessions, the caller's own word first: a header meant for the gateway, the session headers of coding agents,
``prompt_cache_key``, a conversation kept upstream. Origins, the newest first: the stored response or message that the
request continues, and the encrypted thoughts it brings back, which only who sealed them can open.

A key holds the caller's scope, so that nobody lands on another's worker by naming the other's session.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.json import Decoder

from asgi_llm.routing.text.reading import read, reader
from asgi_llm.types import Headers

from .interface import Keys
from .rendezvous import stable_hash

__all__ = ["SESSION_HEADERS", "read_keys", "sealed_origin", "stored_origin"]

SESSION_HEADERS = (
    b"x-llm-routing-key",
    b"x-claude-code-session-id",
    b"session-id",
    b"session_id",
    b"thread-id",
)
"""The gateway's own, Claude Code's, and Codex's as it was and is."""

LONGEST = 256
"""Characters of a session's name that count."""
NEWEST = 4
"""Encrypted thoughts that are looked at; they come from one worker, except where a conversation has moved."""


class Reference(Struct):
    id: str | None = None
    previous_message_id: str | None = None


class Thought(Struct):
    """A block, item or part: the one of its members that is sealed, by the dialect's name for it."""

    encrypted_content: str | None = None
    signature: str | None = None
    data: str | None = None
    type: str | None = None
    camel: str | None = field(name="thoughtSignature", default=None)
    snake: str | None = field(name="thought_signature", default=None)


class Turn(Struct):
    content: str | list[Thought] | None = None
    parts: list[Thought] | None = None


class Body(Struct):
    prompt_cache_key: str | None = None
    previous_response_id: str | None = None
    conversation: str | Reference | None = None
    thread: Reference | None = None
    input: str | list[Thought] | None = None
    messages: list[Turn] | None = None
    contents: list[Turn] | None = None


_reader: Decoder[Any] = reader(Body)


def read_keys(scope: str, headers: Headers, body: bytes, session_headers: Sequence[bytes] = SESSION_HEADERS) -> Keys:
    """The keys of a request in any dialect.

    ``scope`` is the caller's; ``headers`` have their names in lower case; ``session_headers`` come in the order in
    which they are believed.
    """
    request: Body = read(_reader, body)
    named = [*_named_by_headers(headers, session_headers), *_named_by_body(request)]
    sessions = tuple(dict.fromkeys(f"{scope}\nsession\n{name[:LONGEST]}" for name in named))
    stored = [request.previous_response_id, request.thread.previous_message_id if request.thread else None]
    origins = [stored_origin(scope, name) for name in stored if name]
    origins += [sealed_origin(scope, thought) for thought in _sealed(request)]
    return Keys(tuple(origins), sessions)


def stored_origin(scope: str, name: str) -> str:
    """The key of a stored response or message, by its id."""
    return f"{scope}\nstored\n{name[:LONGEST]}"


def sealed_origin(scope: str, content: str) -> str:
    """The key of an encrypted thought or a signature."""
    return f"{scope}\nsealed\n{stable_hash(content):016x}"


def _named_by_headers(headers: Headers, names: Sequence[bytes]) -> list[str]:
    found = dict(reversed(headers))  # of several, the first
    return [value.decode("latin-1") for name in names if (value := found.get(name))]


def _named_by_body(request: Body) -> list[str]:
    conversation = request.conversation
    name = conversation.id if isinstance(conversation, Reference) else conversation
    return [value for value in (request.prompt_cache_key, name) if value]


def _sealed(request: Body) -> list[str]:
    """The newest sealed thoughts, the newest first."""
    found: list[str] = []
    for turn in reversed(request.messages or request.contents or ()):
        content = turn.parts or (turn.content if isinstance(turn.content, list) else ())
        found += _of(content or ())
        if len(found) >= NEWEST:
            break
    if isinstance(request.input, list):
        found += _of(request.input)
    return found[:NEWEST]


def _of(thoughts: Sequence[Thought]) -> list[str]:
    found = []
    for thought in reversed(thoughts):
        data = thought.data if thought.type == "redacted_thinking" else None
        if sealed := thought.encrypted_content or thought.signature or thought.camel or thought.snake or data:
            found.append(sealed)
            if len(found) == NEWEST:
                break
    return found
