"""The setting ``ASGI_LLM``, and the gateway that is made of it when it is first needed.

``ASGI_LLM`` is the gateway's tree of settings, and besides it ``identity``, ``roles`` and ``hooks``, which are about
this host.
"""

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings

from asgi_llm import ConfigError, Gateway, Problem
from asgi_llm.stores.host import HOST_CACHES, HOSTS

from .hooks import load_hooks
from .identity import Source, load_sources
from .roles import load_roles
from .signals import announce
from .stores import CachedAnswers, ORMStores

__all__ = ["Project", "forget", "get_gateway", "get_project", "make_project", "reload", "tree"]

SETTING = "ASGI_LLM"
_OWN = ("identity", "roles", "hooks")
HOSTS["django"] = ORMStores
HOST_CACHES["django"] = CachedAnswers

_lock = threading.Lock()
_made: list["Project"] = []


class Project(NamedTuple):
    """``keyless``: no source knows anybody who shows a key. ``hooks`` are as the setting names them."""

    gateway: Gateway
    sources: tuple[Source, ...]
    roles: tuple[str, ...]
    keyless: bool
    hooks: tuple[Any, ...]


def get_gateway() -> Gateway:
    """This project's gateway.

    Raises:
        ConfigError: the settings cannot work.
    """
    return get_project().gateway


def get_project() -> Project:
    """The gateway and who may call it. Makes both when they are first asked for.

    Raises:
        ConfigError: the settings cannot work.
    """
    made = _made[:]
    if made:
        return made[0]
    with _lock:
        if not _made:
            _made.append(make_project())
        return _made[0]


def make_project() -> Project:
    """A new one out of the settings as they are now.

    Raises:
        ConfigError: with every problem, each with its path from ``ASGI_LLM`` on.
    """
    identity = _setting().get("identity", "session")
    problems: list[Problem] = []
    gateway: Gateway | None = None
    sources: tuple[Source, ...] = ()
    roles: tuple[str, ...] = ()
    try:
        gateway = Gateway(tree(), on_settled=announce, hooks=load_hooks(_setting().get("hooks", ())))
    except ConfigError as error:
        problems += [_below(problem) for problem in error.problems]
    try:
        roles = load_roles(_setting().get("roles", ()))
    except ConfigError as error:
        problems += [_below(problem) for problem in error.problems]
    try:
        sources = load_sources(identity, roles)
    except ConfigError as error:
        problems += [_below(problem) for problem in error.problems]
    if gateway is None or problems:
        raise ConfigError(problems)
    keyless = all(source.keyless for source in sources)
    return Project(gateway, sources, roles, keyless, tuple(_setting().get("hooks", ())))


def tree() -> dict[str, Any]:
    """The gateway's part of the setting."""
    return {name: value for name, value in _setting().items() if name not in _OWN}


def forget(*, setting: str = SETTING, **_ignored: Any) -> None:
    """Has the gateway made anew when it is next needed; tests change settings."""
    if setting == SETTING:
        with _lock:
            _made.clear()


def reload() -> None:
    """Reads ``ASGI_LLM`` again, secrets included. The gateway goes on with what it says now; requests that run end as
    they began.

    Raises:
        ConfigError: it cannot work, or has other ``hooks``: those need a restart. Nothing has changed then.
    """
    fresh = make_project()
    with _lock:
        if _made:
            if fresh.hooks != _made[0].hooks:
                raise ConfigError([_below(Problem("hooks", "cannot change while the process runs"))])
            gateway = _made[0].gateway
            gateway.reload(tree())
            _made[:] = [fresh._replace(gateway=gateway)]


def _setting() -> Mapping[str, Any]:
    value = getattr(settings, SETTING, None)
    if not isinstance(value, Mapping):
        said = "is missing from the settings" if value is None else f"must be a dict, not {type(value).__name__}"
        raise ConfigError([Problem(SETTING, said)])
    return value


def _below(problem: Problem) -> Problem:
    return Problem(f"{SETTING}.{problem.path}" if problem.path else SETTING, problem.message)
