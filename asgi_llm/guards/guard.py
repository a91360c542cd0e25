"""What all guards share: whom they are about, and how they say no."""

from asgi_llm.errors import Kind
from asgi_llm.hooks import Ask, Hook, Refused
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.settings import GuardSettings

__all__ = ["Guard"]


class Guard(Hook):
    """Base of the guards; ``settings`` are its own."""

    def __init__(self, settings: GuardSettings) -> None:
        self.name = settings.name
        self.timeout = settings.timeout
        self.on_failure = settings.on_failure
        self._message = settings.message or f'this is not permitted here (guard "{settings.name}")'
        self._code = settings.code
        self._models = [compile_glob(glob) for glob in settings.models]
        self._endpoints = [compile_glob(glob) for glob in settings.endpoints]
        self._tenants = [compile_glob(glob) for glob in settings.tenants]
        self._roles = frozenset(settings.roles)
        self._not_roles = frozenset(settings.not_roles)

    def concerns(self, ask: Ask) -> bool:
        """Whether it is about this request."""
        identity = ask.identity
        if self._roles and self._roles.isdisjoint(identity.roles):
            return False
        if not self._not_roles.isdisjoint(identity.roles):
            return False
        return all(
            not globs or any(match(value) for match in globs)
            for globs, value in (
                (self._models, ask.model),
                (self._endpoints, ask.endpoint),
                (self._tenants, identity.tenant),
            )
        )

    def refused(self, message: str | None = None, *, param: str | None = None) -> Refused:
        return Refused(message or self._message, code=self._code, kind=Kind.BAD_REQUEST, param=param)
