"""A Django project for the tests, and the ways to serve it: by ASGI with the view, by ASGI with the gateway in front,
and by WSGI. It has a database in a file, whose connections can be counted from outside."""

# ruff: noqa: E402  # Django must be configured before much of it is imported

import asyncio
import functools
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("django")
uvicorn = pytest.importorskip("uvicorn")

import django
from django.apps import apps
from django.conf import settings as project_settings
from django.contrib import admin
from django.http import HttpResponse
from django.test import override_settings
from django.urls import clear_url_caches, include, path

ECHO: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


class Urls:
    """The project's URLconf."""

    urlpatterns: list[Any]


class Router:
    """Says which database the gateway's tables are in; with ``everything``, all the others, too."""

    chosen = "default"
    everything = False

    def db_for_read(self, model: Any, **_hints: Any) -> str | None:
        return self.chosen if self.everything or model._meta.app_label == "asgi_llm" else None

    db_for_write = db_for_read


_FOLDER = tempfile.TemporaryDirectory()
DATABASE = Path(_FOLDER.name) / "db.sqlite3"

# Before tests are imported, since they import models.
if not project_settings.configured:
    project_settings.configure(
        SECRET_KEY="for tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=Urls,
        WSGI_APPLICATION=None,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.admin",
            "asgi_llm_django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        STATIC_URL="static/",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        # A connection that is only left alone would stay open.
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATABASE), "CONN_MAX_AGE": None}},
        DATABASE_ROUTERS=[Router()],
        USE_TZ=True,
        ASGI_LLM=ECHO,
    )
    django.setup()

from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import DEFAULT_DB_ALIAS, connection, connections, router, transaction

from asgi_llm.testing import ASGIDriver
from asgi_llm_django import exchange_settled, intercept, with_lifespan
from asgi_llm_django.views import llm

PATTERNS = [
    path("llm/", include("asgi_llm_django.urls")),
    path("<slug:team>/deep/llm/", include(("asgi_llm_django.urls", "asgi_llm"), namespace="deep")),
    path("admin/", admin.site.urls),
    path("page", lambda _request: HttpResponse("a page")),
]
Urls.urlpatterns = PATTERNS


@pytest.fixture(scope="session", autouse=True)
def project() -> Iterator[Path]:
    """The database's file, with its tables."""
    call_command("migrate", verbosity=0)
    connection.close()
    yield DATABASE
    connection.close()
    _FOLDER.cleanup()


def add_database(name: str, kind: str, request: pytest.FixtureRequest, **more: Any) -> None:
    """Makes an empty database of that kind known as ``name``, with all tables, unless there is one already: threads
    keep what they know of it. ``more`` is what else Django is told of it."""
    if name in connections.databases:
        return
    options: dict[str, Any]
    if kind == "sqlite":
        options = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATABASE.with_name(f"{name}.sqlite3"))}
        options["OPTIONS"] = {"timeout": 30, "init_command": "PRAGMA journal_mode=wal;PRAGMA synchronous=off"}
    else:
        pytest.importorskip("psycopg")
        server = request.getfixturevalue("postgres_server")
        options = {"ENGINE": "django.db.backends.postgresql", "NAME": server.new_database().rpartition("/")[2]}
        options |= {"HOST": "127.0.0.1", "PORT": server.port, "USER": "postgres"}
    connections.databases[name] = options | more
    connections.configure_settings(connections.databases)  # fills in what is missing
    # A project names its databases before its views are imported.
    transaction.non_atomic_requests(using=name)(llm)
    call_command("migrate", database=name, verbosity=0)
    connections[name].close()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest) -> str:
    """A database of each kind, which all tests share."""
    add_database(f"kept-{request.param}", request.param, request)
    return f"kept-{request.param}"


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``new_database(name, kind, CONN_MAX_AGE=...)``"""
    return functools.partial(add_database, request=request)


@pytest.fixture
def database(kept: str) -> Iterator[str]:
    """The same, empty: here the gateway's tables are while the test runs."""
    chosen: Any = router.routers[0]
    chosen.chosen = kept
    yield kept
    chosen.chosen = DEFAULT_DB_ALIAS
    for model in apps.get_app_config("asgi_llm").get_models():
        if not model._meta.proxy:
            model._default_manager.using(kept).all().delete()
    connections[kept].close()


@pytest.fixture
def configured() -> Iterator[Callable[..., None]]:
    """``configured(tree, MIDDLEWARE=...)`` changes settings until the test ends. ``tree`` is laid over the echo's."""
    changed: list[Any] = []

    def configure(tree: dict[str, Any] | None = None, **settings: Any) -> None:
        if tree is not None:
            settings["ASGI_LLM"] = {**ECHO, **tree}
        changed.append(override_settings(**settings))
        changed[-1].enable()

    yield configure
    for change in reversed(changed):
        change.disable()


@pytest.fixture
def settings_middleware() -> list[str]:
    """The project's middleware."""
    return list(project_settings.MIDDLEWARE)


@pytest.fixture
def settled() -> Iterator[list[Any]]:
    """The exchanges that were settled, as the signal tells."""
    found: list[Any] = []

    async def keep(exchange: Any, **_more: Any) -> None:
        found.append(exchange)

    exchange_settled.connect(keep)
    yield found
    exchange_settled.disconnect(keep)


def _in_front(application: Any) -> Any:
    """The gateway in front of ``application``, whose URLconf must not have it as well."""
    _route(PATTERNS[2:])
    return intercept(application, prefix="/llm")


def _route(patterns: list[Any]) -> None:
    Urls.urlpatterns = patterns
    clear_url_caches()


@pytest.fixture(autouse=True)
def _urls_are_put_back() -> Iterator[None]:
    yield
    if Urls.urlpatterns is not PATTERNS:
        _route(PATTERNS)


def applications() -> dict[str, Callable[[], Any]]:
    return {
        "view": lambda: with_lifespan(get_asgi_application()),
        "intercept": lambda: _in_front(get_asgi_application()),
        "wsgi": get_wsgi_application,
    }


@pytest.fixture
def application() -> Callable[[str], Any]:
    """Makes the project's application: ``application("view")``, ``"intercept"`` or ``"wsgi"``."""
    return lambda way: applications()[way]()


@pytest.fixture
def driven() -> Callable[[Any], ASGIDriver]:
    """A driver for an application of Django's, which does not mind that its headers are not in lower case."""
    return lambda app: ASGIDriver(_lowered(app))


def _lowered(app: Any) -> Any:
    async def lowered(scope: Any, receive: Any, send: Any) -> None:
        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [(name.lower(), value) for name, value in message["headers"]]}
            await send(message)

        await app(scope, receive, tell)

    return lowered


Serve = Callable[[str], AbstractAsyncContextManager[str]]


@pytest.fixture
def serve() -> Serve:
    """Serves the project on a socket for as long as the block runs; gives its address."""

    @asynccontextmanager
    async def serving(way: str) -> AsyncIterator[str]:
        app = applications()[way]()
        if way == "wsgi":
            with threaded(app) as url:
                yield url
            return
        config = uvicorn.Config(app, log_level="warning", loop="none", ws="none", lifespan="on")
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            running = asyncio.create_task(server._serve(sockets=[listener]))
            try:
                while not server.started and not running.done():
                    await asyncio.sleep(0.005)
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await running

    return serving


@contextmanager
def threaded(app: Any) -> Iterator[str]:
    """Django's own server of WSGI, without its console."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            pass

    class Server(ThreadedWSGIServer):
        block_on_close = True
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Quiet) as server:
        server.set_app(app)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=["view", "intercept", "wsgi"])
def way(request: pytest.FixtureRequest) -> str:
    """How the project is served."""
    return str(request.param)


@pytest.fixture
def connections_to(project: Path) -> Callable[[], int]:
    """Counts this process's connections to the database."""

    def count() -> int:
        opened = 0
        for link in list(Path("/proc/self/fd").iterdir()):
            try:
                opened += link.readlink() == project
            except FileNotFoundError:
                continue
        return opened

    return count
