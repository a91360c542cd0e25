"""Where gateways stand in an application, so that one that could never be asked is noticed before anybody asks it.

A middleware sees what is behind it, as far as that is made of ``app`` and ``routes``, which is how frameworks agree to
keep it. Adapters of frameworks that keep theirs in another way look when the application starts: by then every
middleware on the way to them has said which paths it takes.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from asgi_llm.errors import ConfigError, Problem

__all__ = ["Place", "above", "below", "refuse_below"]

_MOST = 10_000
"""Objects that are looked at; whatever has more of them goes round in circles."""


class Place(NamedTuple):
    """A prefix that ``app``, a gateway's application, answers below. ``shared``: what it does not know is passed on."""

    prefix: str
    app: object
    shared: bool

    def hides(self, path: str, app: object) -> bool:
        """Whether ``app`` at ``path``, behind this place, would never be asked."""
        if self.shared:
            # Another gateway may serve endpoints that this one does not.
            return path == self.prefix and app is self.app
        return path == self.prefix or path.startswith(f"{self.prefix}/")


_above: ContextVar[tuple[Place, ...]] = ContextVar("asgi_llm.mounts", default=())


@contextmanager
def above(place: Place) -> Iterator[None]:
    """While the application behind ``place`` starts."""
    token = _above.set((*_above.get(), place))
    try:
        yield
    finally:
        _above.reset(token)


def refuse_below(paths: Iterable[str], app: object) -> None:
    """
    Raises:
        ConfigError: ``app`` is mounted at one of ``paths`` where something in front of it answers, or twice at one.
    """
    seen: set[str] = set()
    problems = []
    for path in (path.rstrip("/") for path in paths):
        if any(place.hides(path, app) for place in _above.get()):
            problems.append(Problem("prefix", f'"{path or "/"}" is taken by a gateway in front of it'))
        elif path in seen:
            problems.append(Problem("prefix", f'"{path or "/"}" has a gateway already'))
        seen.add(path)
    if problems:
        raise ConfigError(problems)


def below(app: object, kind: type, path: str = "") -> Iterator[tuple[str, object]]:
    """Every object of ``kind``, and everything that says itself where it stands (``asgi_llm_prefix``), in what ``app``
    is made of; with the path it is at."""
    waiting = [(path, app)]
    seen: set[int] = set()
    while waiting and len(seen) < _MOST:
        at, one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, kind):
            yield at, one
            continue
        prefix = getattr(one, "asgi_llm_prefix", None)
        if isinstance(prefix, str):
            yield at + prefix, getattr(one, "gateway_app", None)
        waiting.append((at, getattr(one, "app", None)))
        routes = getattr(one, "routes", None)
        for route in routes if isinstance(routes, list | tuple) else ():
            step = getattr(route, "path", None)
            if isinstance(step, str):
                waiting.append((at + step.rstrip("/"), getattr(route, "app", None)))
