"""System checks: every mistake in ``ASGI_LLM``, with its path, and what does not go well with it in a project."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  # Django's name
from django.utils.module_loading import import_string

from asgi_llm import ConfigError
from asgi_llm.settings import CacheSettings, Settings, literal_secrets

from .project import SETTING, make_project, tree
from .stores.desk import alias
from .tables import RUN, missing_migrations, unfit

__all__ = ["check_deployment", "check_settings", "check_tables"]

_HINTS = {
    "nobody": 'Let the users of this project in with {"identity": "session"}, give keys in auth.keys, or set '
    "auth.anonymous.",
    "session": "Add django.contrib.sessions and django.contrib.auth with their middleware, or name another identity.",
    "wsgi": "Serve the project by ASGI. Under WSGI every stream holds a thread of the server until it ends.",
    "database": "Have a database router send the app asgi_llm to one that is, or name another store.",
    "memory": 'Set ASGI_LLM["store"]["url"] to "django".',
    "compress": "Compress in front of Django, or not below the gateway's prefix. Django's own GZipMiddleware leaves "
    "event streams alone; whether all that is in front does, manage.py asgi_llm doctor URL measures.",
    "cache": "Name a cache that all processes share in CACHES, or say memory: where one for each process is meant.",
    "secret": "Refer to it, as in env://NAME or file:///path.",
}

_COMPRESSES = re.compile("gzip|brotli|zstd|compress|minif", re.IGNORECASE)


@register()
def check_settings(app_configs: Sequence[AppConfig] | None, **_options: Any) -> list[CheckMessage]:
    """E001: a mistake in the settings. E002: a database that the gateway's tables cannot be in. W001: nobody can call.
    W002: users by session, but no middleware for it. W004: there is no way to serve the project by ASGI. W007: what
    compresses answers. W008: a cache that each process has for itself."""
    if not _concerned(app_configs):
        return []
    try:
        project = make_project()
    except ConfigError as error:
        return [Error(str(problem), id="asgi_llm.E001") for problem in error.problems]
    found = list(_warnings(project.gateway.settings.auth, {source.name for source in project.sources}))
    found += [*_surroundings(), *_caches(project.gateway.settings.cache)]
    if project.gateway.settings.store.address == "django" and (why := unfit(alias())):
        found.append(Error(f"{SETTING}.store.url: {why}", hint=_HINTS["database"], id="asgi_llm.E002"))
    return found


@register(Tags.database)
def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_options: Any
) -> list[CheckMessage]:
    """W006: the gateway's tables are missing, or of an earlier version. Asked with ``check --database NAME``."""
    # "migrate" asks as well, and is about to see to it.
    if not _concerned(app_configs) or alias() not in (databases or ()) or sys.argv[1:2] == ["migrate"]:
        return []
    try:
        kept = Settings.load(tree()).store.address == "django"
    except ConfigError:
        return []
    missing = missing_migrations(alias()) if kept else []
    said = f"tables of the gateway are missing: {', '.join(missing)}"
    return [Warning(said, hint=f"{RUN[0].upper()}{RUN[1:]}.", id="asgi_llm.W006")] if missing else []


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Sequence[AppConfig] | None, **_options: Any) -> list[CheckMessage]:
    """W003: a secret itself stands in the settings. W005: what all processes should know is in the memory of each."""
    if not _concerned(app_configs):
        return []
    try:
        paths, kept = literal_secrets(tree()), Settings.load(tree())
    except ConfigError:
        return []
    found: list[CheckMessage] = [
        Warning(f"{SETTING}.{path}: the secret itself is in the settings", hint=_HINTS["secret"], id="asgi_llm.W003")
        for path in paths
    ]
    found += _forgetful(kept)
    return found


def _forgetful(kept: Settings) -> Iterator[CheckMessage]:
    wanted = {
        "auth.issued": kept.auth.issued is not None,
        "quotas": bool(kept.quotas) and kept.state.address == "memory:",
        "responses.stateful": bool(kept.responses.stateful),
    }
    if not kept.store.durable:
        for path in (path for path, asked in wanted.items() if asked):
            said = f"{SETTING}.{path}: is kept in the memory of each process, and lost with it"
            yield Warning(said, hint=_HINTS["memory"], id="asgi_llm.W005")


def _surroundings() -> Iterator[CheckMessage]:
    if not _has_asgi():
        yield Warning("the project has no ASGI application", hint=_HINTS["wsgi"], id="asgi_llm.W004")
    for path in settings.MIDDLEWARE:
        # There are too many to know them all, and they are named after what they do.
        if _COMPRESSES.search(path.rpartition(".")[2]):
            said = f"MIDDLEWARE: {path} takes processor time from every answer, and some of its kind hold streams back"
            yield Warning(said, hint=_HINTS["compress"], id="asgi_llm.W007")


def _caches(cache: CacheSettings | None) -> Iterator[CheckMessage]:
    if cache is None or not cache.enabled or cache.address != "django":
        return
    backend: Any = import_string(settings.CACHES["default"]["BACKEND"])
    if issubclass(backend, DummyCache):
        yield Warning(f'{SETTING}.cache.url: CACHES["default"] keeps nothing', hint=_HINTS["cache"], id="asgi_llm.W008")
    elif issubclass(backend, LocMemCache):
        said = f'{SETTING}.cache.url: CACHES["default"] is in the memory of each process, and lost with it'
        yield Warning(said, hint=_HINTS["cache"], id="asgi_llm.W008")


def _concerned(app_configs: Sequence[AppConfig] | None) -> bool:
    return app_configs is None or any(config.label == "asgi_llm" for config in app_configs)


def _warnings(auth: Any, sources: set[str]) -> Iterator[CheckMessage]:
    has_users = _has_users()
    named = bool(sources - {"django-session"}) or ("django-session" in sources and has_users)
    if not (named or auth.keys or auth.anonymous):
        yield Warning(f"{SETTING}: nobody can call the gateway", hint=_HINTS["nobody"], id="asgi_llm.W001")
    if settings.ASGI_LLM.get("identity") and "django-session" in sources and not has_users:
        yield Warning(
            f"{SETTING}.identity: no middleware finds users by their session",
            hint=_HINTS["session"],
            id="asgi_llm.W002",
        )


def _has_users() -> bool:
    """Whether some middleware, Django's or one made of it, gives requests their user."""
    if "django.contrib.auth" not in settings.INSTALLED_APPS:
        return False
    authentication: Any = import_string("django.contrib.auth.middleware.AuthenticationMiddleware")
    used = [import_string(name) for name in settings.MIDDLEWARE]
    return any(inspect.isclass(one) and issubclass(one, authentication) for one in used)


def _has_asgi() -> bool:
    """Whether there is an application for ASGI: named, or in the module that Django's template for projects has."""
    if getattr(settings, "ASGI_APPLICATION", None) or not settings.WSGI_APPLICATION:
        return True
    package = str(settings.WSGI_APPLICATION).rpartition(".")[0].rpartition(".")[0]
    try:
        return find_spec(f"{package}.asgi" if package else "asgi") is not None
    except ModuleNotFoundError:
        return False
