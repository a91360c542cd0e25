"""Who may use what, compiled from the settings; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from asgi_llm.settings import AccessSettings, CapSettings, RuleSettings

from .catalog import compile_glob

__all__ = ["Access", "Patterns", "Wish", "within"]


class Wish(Struct, frozen=True, gc=False):
    """What is asked for. ``names`` are those of the model: the caller's, and the upstream's."""

    endpoint: str
    dialect: str
    names: tuple[str, ...]
    target: str
    features: frozenset[str] = frozenset()


class Patterns:
    """Globs of which one must match, and exceptions of which none may."""

    __slots__ = ("_except", "_of")

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self._of = [compile_glob(pattern) for pattern in patterns if not pattern.startswith("!")]
        self._except = [compile_glob(pattern[1:]) for pattern in patterns if pattern.startswith("!")]

    def match(self, names: Iterable[str]) -> bool:
        if not (self._of or self._except):
            return True
        return any(self.matches(name) for name in names)

    def matches(self, name: str) -> bool:
        if any(match(name) for match in self._except):
            return False
        return not self._of or any(match(name) for match in self._of)

    def chosen(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """Those of somebody's ``names`` that are meant, which may be none where only exceptions are given; None: nobody
        with these is meant."""
        if any(match(name) for match in self._except for name in names):
            return None
        if not self._of:
            return tuple(names)
        return tuple(name for name in names if any(match(name) for match in self._of)) or None


class _Rule:
    __slots__ = ("_dialects", "_endpoints", "_features", "_models", "_not_roles", "_roles", "_targets", "listing")

    def __init__(self, settings: RuleSettings) -> None:
        self._endpoints = Patterns(settings.endpoints)
        self._dialects = settings.dialects
        self._models = Patterns(settings.models)
        self._targets = Patterns(settings.targets)
        self._features = frozenset(settings.features)
        self._roles = frozenset(settings.roles)
        self._not_roles = frozenset(settings.not_roles)
        self.listing = not (settings.endpoints or settings.dialects or settings.features)
        """Whether it is about a model as such, and not about one way of using it."""

    def forbids(self, roles: Iterable[str], wish: Wish) -> bool:
        if (self._dialects and wish.dialect not in self._dialects) or not self._endpoints.match((wish.endpoint,)):
            return False
        if self._features and not self._features & wish.features:
            return False
        if not self._models.match(wish.names) or not self._targets.match((wish.target,)):
            return False
        return not self._not_roles.isdisjoint(roles) or bool(self._roles and self._roles.isdisjoint(roles))


class _Cap:
    __slots__ = ("_models", "_roles", "_targets", "most")

    def __init__(self, settings: CapSettings) -> None:
        self._models = Patterns(settings.models)
        self._targets = Patterns(settings.targets)
        self._roles = frozenset(settings.roles)
        self.most = settings.max_output

    def concerns(self, roles: Iterable[str], names: Iterable[str], target: str) -> bool:
        if self._roles and self._roles.isdisjoint(roles):
            return False
        return self._models.match(names) and self._targets.match((target,))


class Access:
    """All rules and caps.

    Attributes:
        reads: whether a rule is about what only a look into the whole request tells.
        users: see ``AccessSettings``.
    """

    __slots__ = ("_caps", "_listing", "_rules", "reads", "users")

    def __init__(self, settings: AccessSettings) -> None:
        self._rules = [_Rule(rule) for rule in settings.rules]
        self._listing = [rule for rule in self._rules if rule.listing]
        self._caps = [_Cap(cap) for cap in settings.caps]
        self.users = settings.users
        self.reads = any(set(rule.features) - {"stream"} for rule in settings.rules)

    @classmethod
    def of(cls, settings: AccessSettings) -> "Access | None":
        """None where everybody may use everything."""
        return None if settings == AccessSettings() else cls(settings)

    def permits(self, roles: Iterable[str], wish: Wish) -> bool:
        return not any(rule.forbids(roles, wish) for rule in self._rules)

    def lists(self, roles: Iterable[str], wish: Wish) -> bool:
        """Whether somebody is told of a model at all; the endpoint and the dialect do not matter."""
        return not any(rule.forbids(roles, wish) for rule in self._listing)

    def cap(self, roles: Iterable[str], names: Iterable[str], target: str) -> int | None:
        """The most tokens of an answer; None where there is no limit."""
        names = tuple(names)
        return min((cap.most for cap in self._caps if cap.concerns(roles, names, target)), default=None)


def within(scopes: Mapping[str, tuple[str, ...]] | None, wish: Wish, besides: Collection[str] = ()) -> bool:
    """Whether a key with ``scopes`` is for that; those ``besides`` do not matter."""
    if not scopes:
        return True
    values = {"endpoints": (wish.endpoint,), "models": wish.names, "targets": (wish.target,)}
    return all(_patterns(globs).match(values[name]) for name, globs in scopes.items() if name not in besides)


@lru_cache(maxsize=1024)
def _patterns(globs: tuple[str, ...]) -> Patterns:
    return Patterns(globs)
