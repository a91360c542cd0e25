"""What surrounds the view: system checks, the management command, the signal, settings that change."""

import asyncio
import contextvars
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import ConnectionHandler, connection
from django.test import AsyncClient, override_settings

from asgi_llm import Exchange
from asgi_llm.hooks import Hook
from asgi_llm_django import exchange_settled, get_gateway, tables
from asgi_llm_django.checks import _surroundings, check_deployment, check_settings
from asgi_llm_django.stores.answers import CachedAnswers

CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
TARGETS = {"targets": {"echo": {"provider": "echo"}}}
ECHO_FOR_ALL = {**TARGETS, "auth": {"anonymous": True}}


def found(**settings: Any) -> list[tuple[str, str]]:
    with override_settings(**settings):
        return [(str(message.id), message.msg) for message in [*check_settings(None), *check_deployment(None)]]


class TestChecks:
    def test_a_good_project_has_none(self) -> None:
        assert found() == []
        assert run_checks(include_deployment_checks=False) == []

    @pytest.mark.parametrize(
        ("value", "messages"),
        [
            (None, ["ASGI_LLM: is missing from the settings"]),
            ("llm.toml", ["ASGI_LLM: must be a dict, not str"]),
            ({}, ["ASGI_LLM.targets: is required"]),
            (
                {"targets": {"x": {"provider": "vllm", "base_url": "ftp://x"}}, "default_target": "y", "colour": "red"},
                [
                    "ASGI_LLM.targets.x.base_url: must be an http:// or https:// address with a host",
                    "ASGI_LLM.colour: is not a setting",
                    'ASGI_LLM.default_target: there is no target "y"; there are: x',
                ],
            ),
            (
                {"targets": {"x": {"provider": "openai", "api_key": "env://NOT_SET_ANYWHERE"}}, "identity": "no"},
                [
                    "ASGI_LLM.targets.x.api_key: the environment variable NOT_SET_ANYWHERE is not set",
                    'ASGI_LLM.identity: "no" is neither session nor rest_framework nor the dotted path of a callable',
                ],
            ),
            ({**TARGETS, "roles": "groups"}, ["ASGI_LLM.roles: must be a list, not str"]),
            (
                {**TARGETS, "roles": ["groups", "editors", 7, "shop."]},
                [
                    f"ASGI_LLM.roles[{place}]: {shown} is neither groups nor a permission, as in app.codename"
                    for place, shown in ((1, "'editors'"), (2, "7"), (3, "'shop.'"))
                ],
            ),
            (
                {**TARGETS, "identity": ["session", "django.no_such_thing", 7, "django.http.Http404"]},
                [
                    'ASGI_LLM.identity[1]: Module "django" does not define a "no_such_thing" attribute/class',
                    "ASGI_LLM.identity[2]: 7 cannot be called with a request",
                    "ASGI_LLM.identity[3]: <class 'django.http.response.Http404'> cannot be called with a request",
                ],
            ),
        ],
    )
    def test_every_mistake_is_one_with_its_path(self, value: Any, messages: list[str]) -> None:
        assert found(ASGI_LLM=value) == [("asgi_llm.E001", message) for message in messages]

    def test_a_gateway_that_nobody_can_call(self) -> None:
        nobody = [("asgi_llm.W001", "ASGI_LLM: nobody can call the gateway")]
        assert found(ASGI_LLM={**TARGETS, "identity": None}) == nobody
        assert found(ASGI_LLM=TARGETS, MIDDLEWARE=[]) == nobody
        assert found(ASGI_LLM=TARGETS) == []
        assert found(ASGI_LLM={**TARGETS, "identity": print}, MIDDLEWARE=[]) == []

    def test_sessions_that_nothing_reads(self) -> None:
        keys = {"auth": {"keys": [{"key": "env://HOME", "subject": "x"}]}}
        assert found(ASGI_LLM={**TARGETS, **keys, "identity": "session"}, MIDDLEWARE=[]) == [
            ("asgi_llm.W002", "ASGI_LLM.identity: no middleware finds users by their session")
        ]

    def test_secrets_in_the_settings_of_a_deployment(self) -> None:
        tree = {"targets": {"x": {"provider": "openai", "api_key": "sk-1"}}}
        assert found(ASGI_LLM=tree) == [
            ("asgi_llm.W003", "ASGI_LLM.targets.x.api_key: the secret itself is in the settings")
        ]
        with override_settings(ASGI_LLM=tree):
            assert "asgi_llm.W003" not in {message.id for message in run_checks()}
            assert "asgi_llm.W003" in {message.id for message in run_checks(include_deployment_checks=True)}

    def test_a_project_without_asgi(self) -> None:
        """``json`` stands for a package of a project that has no module ``asgi``."""
        assert [name for name, _ in found(WSGI_APPLICATION="json.wsgi.application")] == ["asgi_llm.W004"]
        assert [name for name, _ in found(WSGI_APPLICATION="nowhere.wsgi.application")] == ["asgi_llm.W004"]
        assert found(WSGI_APPLICATION="asgi_llm_django.wsgi.application") == []
        assert found(WSGI_APPLICATION="json.wsgi.application", ASGI_APPLICATION="json.asgi.application") == []

    @pytest.mark.parametrize("name", ["default", "nowhere"])
    def test_a_database_that_the_tables_cannot_be_in(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = {**ECHO_FOR_ALL, "store": {"url": "django"}}
        assert found(ASGI_LLM=tree) == []
        unfit = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        if name == "nowhere":
            unfit = {"ENGINE": "django.db.backends.dummy"}
        handler = ConnectionHandler({"default": unfit})
        monkeypatch.setattr(tables, "connections", handler)
        ((code, said),) = found(ASGI_LLM=tree)
        assert code == "asgi_llm.E002"
        assert said.startswith('ASGI_LLM.store.url: the database "default" is ')
        assert ("in memory" if name == "default" else "neither SQLite nor PostgreSQL") in said

    @pytest.mark.parametrize(
        ("more", "path"),
        [
            ({"auth": {"issued": {}, "anonymous": True}}, "auth.issued"),
            ({"quotas": [{"name": "q", "resource": "concurrency", "limit": 1}]}, "quotas"),
            ({"responses": {"stateful": True}}, "responses.stateful"),
        ],
    )
    def test_what_all_processes_should_know_and_each_keeps_for_itself(self, more: Any, path: str) -> None:
        said = f"ASGI_LLM.{path}: is kept in the memory of each process, and lost with it"
        assert found(ASGI_LLM={**ECHO_FOR_ALL, **more}) == [("asgi_llm.W005", said)]
        assert found(ASGI_LLM={**ECHO_FOR_ALL, **more, "store": {"url": "django"}}) == []
        with override_settings(ASGI_LLM={**ECHO_FOR_ALL, **more}):
            assert run_checks(include_deployment_checks=False) == []

    def test_a_cache_that_each_process_has_for_itself(self) -> None:
        tree = {**ECHO_FOR_ALL, "cache": {"url": "django"}}
        backends = "django.core.cache.backends."
        for backend, said in (
            ("locmem.LocMemCache", 'CACHES["default"] is in the memory of each process, and lost with it'),
            ("dummy.DummyCache", 'CACHES["default"] keeps nothing'),
        ):
            caches = {"default": {"BACKEND": backends + backend}}
            assert found(ASGI_LLM=tree, CACHES=caches) == [("asgi_llm.W008", f"ASGI_LLM.cache.url: {said}")]
            assert found(ASGI_LLM={**ECHO_FOR_ALL, "cache": {"url": "memory:"}}, CACHES=caches) == []
            assert found(ASGI_LLM={**ECHO_FOR_ALL, "cache": {"url": "django", "enabled": False}}, CACHES=caches) == []
        shared = {"default": {"BACKEND": backends + "redis.RedisCache", "LOCATION": "redis://127.0.0.1"}}
        assert found(ASGI_LLM=tree, CACHES=shared) == []

    @pytest.mark.parametrize(
        "path", ["django.middleware.gzip.GZipMiddleware", "django_brotli.middleware.BrotliMiddleware"]
    )
    def test_middleware_that_compresses(self, path: str, settings_middleware: list[str]) -> None:
        """The second one is not installed here; that is for Django to say, and not for this check."""
        said = f"MIDDLEWARE: {path} takes processor time from every answer, and some of its kind hold streams back"
        with override_settings(MIDDLEWARE=[path, *settings_middleware]):
            assert [(one.id, one.msg) for one in _surroundings()] == [("asgi_llm.W007", said)]
        if "brotli" not in path:
            assert found(MIDDLEWARE=[path, *settings_middleware]) == [("asgi_llm.W007", said)]

    def test_they_run_for_this_application_only(self) -> None:
        with override_settings(ASGI_LLM=None):
            assert run_checks(app_configs=[apps.get_app_config("auth")]) == []
            assert run_checks(app_configs=[apps.get_app_config("asgi_llm")]) != []


class TestCommand:
    @staticmethod
    def run(*arguments: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        call_command("asgi_llm", *arguments, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    def test_check(self, configured: Any) -> None:
        configured({"targets": {"main": {"provider": "openai", "api_key": "sk-1"}}})
        out, err = self.run("check")
        assert out.splitlines()[:2] == ["ok: 1 target, 0 routes", "  main: openai, speaks chat, responses"]
        assert "ASGI_LLM.targets.main.api_key" in err
        assert "sk-1" not in out + err

    def test_mistakes(self, configured: Any) -> None:
        configured({"colour": "red"})
        with pytest.raises(CommandError, match=r"ASGI_LLM\.colour: is not a setting"):
            self.run("check")

    def test_explain(self, configured: Any) -> None:
        out, _ = self.run("explain", "--model", "echo", "--dialect", "messages")
        assert "only one target" in out
        out, _ = self.run("explain", "--model", "echo", "--json")
        assert json.loads(out)["legs"][0]["target"] == "echo"
        configured({"targets": {"echo": {"provider": "echo", "deny": ["*"]}}})
        with pytest.raises(CommandError, match="would be refused"):
            self.run("explain", "--model", "echo")

    def test_routes(self) -> None:
        lines = self.run("routes")[0].splitlines()
        assert "POST      /llm/v1/chat/completions  Create a chat completion" in lines
        assert "GET,HEAD  /<slug:team>/deep/llm/v1/models  List the models that may be used" in lines

    def test_no_routes(self) -> None:
        class Empty:
            urlpatterns: tuple[Any, ...] = ()

        with override_settings(ROOT_URLCONF=Empty), pytest.raises(CommandError, match="intercept"):
            self.run("routes")


class TestSignal:
    async def test_receivers_of_either_kind_are_told_apart_from_the_request(self, way: str, serve: Any) -> None:
        """They may use the database, and hold no connection afterwards."""
        here = contextvars.ContextVar("here", default="outside")
        told: dict[str, Any] = {}
        done = threading.Event()

        def plain(sender: Any, exchange: Exchange, **_more: Any) -> None:
            told["plain"] = sender, exchange.endpoint, get_user_model().objects.count() >= 0, here.get()

        async def awaited(exchange: Exchange, **_more: Any) -> None:
            told["awaited"] = exchange.outcome, await get_user_model().objects.acount() >= 0
            done.set()

        exchange_settled.connect(plain)
        exchange_settled.connect(awaited)
        try:
            here.set("inside")
            async with serve(way) as url:
                await asyncio.to_thread(_post, f"{url}/llm/v1/chat/completions")
                assert await asyncio.to_thread(done.wait, 5)
        finally:
            exchange_settled.disconnect(plain)
            exchange_settled.disconnect(awaited)
        assert told == {"plain": (Exchange, "chat_completions", True, "outside"), "awaited": ("ok", True)}

    async def test_one_that_fails_harms_nobody(self, settled: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        def fail(**_more: Any) -> None:
            raise RuntimeError("no")

        exchange_settled.connect(fail)
        try:
            await AsyncClient().post("/llm/v1/chat/completions", CHAT, content_type="application/json")
            for _ in range(100):
                if settled:
                    break
                await asyncio.sleep(0.01)
        finally:
            exchange_settled.disconnect(fail)
        assert len(settled) == 1
        assert "RuntimeError: no" in caplog.text


def _post(url: str) -> None:
    import httpx

    assert httpx.post(url, json=CHAT, trust_env=False, timeout=60).status_code == 200


class TestSettings:
    def test_the_gateway_is_made_once(self) -> None:
        assert get_gateway() is get_gateway()

    def test_it_follows_the_settings(self, configured: Any) -> None:
        before = get_gateway()
        configured({"targets": {"other": {"provider": "echo"}}})
        assert list(get_gateway().settings.targets) == ["other"]
        configured(LANGUAGE_CODE="nb")
        assert get_gateway() is get_gateway() is not before


@pytest.mark.parametrize(
    ("django", "said"),
    [
        ("VERSION = (4, 2)\ndef get_version(): return '4.2.1'", "needs Django 5.2 or newer; this is 4.2.1"),
        ("raise ImportError", 'needs Django: pip install "asgi-llm[django]"'),
    ],
)
def test_another_django_or_none_is_said_in_words(django: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "django.py").write_text(django)
    given = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", "import asgi_llm_django"],
        env={**os.environ, "PYTHONPATH": given},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode
    assert said in done.stderr.splitlines()[-1]


def test_connections_are_those_of_the_test() -> None:
    """No test here may leave one open for the next to count."""
    connection.close()
    assert connection.connection is None


class Quiet(Hook):
    pass


def test_hooks_and_the_cache_are_the_projects_own() -> None:
    with override_settings(ASGI_LLM={**TARGETS, "hooks": [Quiet, Quiet()], "cache": {"url": "django"}}):
        blueprint = get_gateway()._blueprint
        assert [type(hook) for hook in blueprint.hooks] == [Quiet, Quiet]
        assert blueprint.open_cache is not None
        assert isinstance(blueprint.open_cache().store, CachedAnswers)
    assert [message for _, message in found(ASGI_LLM={**TARGETS, "hooks": ["django.http.Http404"]})] == [
        "ASGI_LLM.hooks[0]: 'django.http.Http404' is no asgi_llm.hooks.Hook"
    ]
