"""Stores in a SQL database: SQLite in a file of one's own, or PostgreSQL. Nothing outside imports this room before a
database is configured: it needs the extra ``sql``."""
