"""The gateway's stores in the project's database: what ``ASGI_LLM["store"]["url"] = "django"`` selects; and its
answers in the project's cache.

Importing this room needs no models; they are imported when a store is opened, by which time the apps are ready.
"""

from .answers import CachedAnswers
from .opening import ORMStores

__all__ = ["CachedAnswers", "ORMStores"]
