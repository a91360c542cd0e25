"""The tables of responses and conversations."""

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

from .schema import Schema

__all__ = ["SCHEMA", "conversation_items", "conversations", "events", "held", "responses"]

_metadata = MetaData()
_NAME = 255


def _owner() -> tuple[Column[str], Column[str]]:
    return Column("tenant", String(_NAME), primary_key=True), Column("subject", String(_NAME), primary_key=True)


def _of(table: str) -> ForeignKeyConstraint:
    """Rows that go with the one that they belong to."""
    columns = ["tenant", "subject", "owner"]
    return ForeignKeyConstraint(
        columns, [f"{table}.{name}" for name in ("tenant", "subject", "id")], ondelete="CASCADE"
    )


responses = Table(
    "asgi_llm_responses",
    _metadata,
    *_owner(),
    Column("id", String(_NAME), primary_key=True),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("parent", String(_NAME)),
    Column("conversation", String(_NAME)),
    Column("lease", Float, nullable=False, default=0.0),
    Column("data", LargeBinary, nullable=False),
    Index("asgi_llm_responses_lease", "status", "lease"),
)
held = Table(
    "asgi_llm_response_items",
    _metadata,
    *_owner(),
    Column("item", String(_NAME), primary_key=True),
    Column("owner", String(_NAME), primary_key=True),
    _of("asgi_llm_responses"),
    Index("asgi_llm_response_items_owner", "tenant", "subject", "owner"),
)
events = Table(
    "asgi_llm_response_events",
    _metadata,
    *_owner(),
    Column("owner", String(_NAME), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
    _of("asgi_llm_responses"),
)
conversations = Table(
    "asgi_llm_conversations",
    _metadata,
    *_owner(),
    Column("id", String(_NAME), primary_key=True),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False, index=True),
    Column("length", Integer, nullable=False, default=0),
    Column("data", LargeBinary, nullable=False),
)
conversation_items = Table(
    "asgi_llm_conversation_items",
    _metadata,
    *_owner(),
    Column("owner", String(_NAME), primary_key=True),
    Column("id", String(_NAME), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    _of("asgi_llm_conversations"),
    Index("asgi_llm_conversation_items_place", "tenant", "subject", "owner", "place"),
)


def _create(connection: Connection) -> None:
    _metadata.create_all(connection)


SCHEMA = Schema("responses", (_create,))
