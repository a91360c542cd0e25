"""The gateway's stores in the project's database: what ``ASGI_LLM["store"]["url"] = "django"`` selects.

Importing this room needs no models; they are imported when a store is opened, by which time the apps are ready.
"""

from .opening import ORMStores

__all__ = ["ORMStores"]
