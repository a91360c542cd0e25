"""A database's URL as the settings have it -> as SQLAlchemy takes it."""

from typing import Any

from sqlalchemy import URL, make_url

__all__ = ["driver_url"]


def driver_url(address: str, timeout: float) -> tuple[URL, dict[str, Any]]:
    """The URL with its asynchronous driver, and what is handed to that driver; ``timeout`` is in seconds."""
    url = make_url(address)
    if url.drivername == "sqlite":
        return url.set(drivername="sqlite+aiosqlite"), {"timeout": timeout}
    arguments: dict[str, Any] = {"timeout": timeout, "command_timeout": timeout}
    # Two words that libpq knows and everybody writes; the driver has others for them.
    if (mode := url.query.get("sslmode")) is not None:
        arguments["ssl"] = mode
    name = url.query.get("application_name", "asgi-llm")
    arguments["server_settings"] = {"application_name": name}
    url = url.difference_update_query(("sslmode", "application_name"))
    return url.set(drivername="postgresql+asyncpg"), arguments
