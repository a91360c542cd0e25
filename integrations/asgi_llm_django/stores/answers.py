"""Answers in the project's cache (``CACHES["default"]``): what ``ASGI_LLM["cache"]["url"] = "django"`` selects."""

from hashlib import sha256

from asgi_llm.errors import StoreError
from asgi_llm.stores.scope import Scope

__all__ = ["CachedAnswers"]


class CachedAnswers:
    """Implements ``AnswerStore``. The cache is the project's own and is not closed here."""

    async def get(self, scope: Scope, key: str, now: float) -> bytes | None:
        from django.core.cache import cache

        try:
            found = await cache.aget(_place(scope, key))
        except Exception as error:  # every backend has errors of its own
            raise StoreError from error
        return found if isinstance(found, bytes) else None

    async def put(self, scope: Scope, key: str, value: bytes, now: float, ttl: float) -> None:
        from django.core.cache import cache

        try:
            await cache.aset(_place(scope, key), value, timeout=ttl)
        except Exception as error:
            raise StoreError from error

    async def aclose(self) -> None:
        pass


def _place(scope: Scope, key: str) -> str:
    """Names of tenants and subjects are anybody's; some backends take short names only, of few characters."""
    whose = sha256(f"{len(scope.tenant)}\n{scope.tenant}{scope.subject}".encode("utf-8", "surrogatepass"))
    return f"asgi_llm:{whose.hexdigest()[:32]}:{key}"
