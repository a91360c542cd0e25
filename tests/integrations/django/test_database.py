"""The gateway with all that it keeps in the project's database."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from threading import Barrier
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.core.checks import Tags, run_checks
from django.core.management import CommandError, call_command
from django.db import connections, router
from django.test import AsyncClient, Client

from asgi_llm.quotas import budgets
from asgi_llm_django import budget_exhausted, get_gateway, key_issued, key_revoked
from asgi_llm_django.models import APIKey, Budget, Price, QuotaHold, QuotaSpent, Response, Usage
from asgi_llm_django.stores import desk
from asgi_llm_django.stores.desk import Desk
from asgi_llm_django.tables import check_at_start, missing_migrations

KEPT: dict[str, Any] = {
    "store": {"url": "django", "timeout": 30},
    "ledger": {"interval": 0.01},
    "auth": {"issued": {"fresh": 0, "touch": 0}},
    "quotas": [{"name": "daily", "per": ["subject"], "resource": "tokens", "window": "day", "limit": 10_000}],
    "responses": {"stateful": True, "signatures": True},
    "identity": None,
}
HELLO = {"model": "echo", "input": "Hello there"}


async def apart(work: Callable[[], Any]) -> Any:
    """In a thread whose connections end with it."""

    def done() -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(done)


async def begin(caller: httpx.AsyncClient, path: str, running: contextlib.AsyncExitStack, streams: list[Any]) -> None:
    """A stream that has begun and goes on for a minute. One that is let go would end its request."""
    slow = {"model": "echo", "stream": True, "input": "/repeat 120\n/delay 0.5\nword"}
    answer = await running.enter_async_context(caller.stream("POST", path, json=slow))
    assert answer.status_code == 200
    streams.append(answer.aiter_raw())
    await anext(streams[-1])


async def until(says: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await apart(says):
            await asyncio.sleep(0.02)


def client(url: str, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{url}/llm/v1", headers={"x-api-key": key}, trust_env=False, timeout=60)


async def test_everything_is_kept(way: str, serve: Any, configured: Any, database: str) -> None:
    """Keys, quotas, prices, responses and the ledger, however the project is served, with transactions for requests."""
    configured(KEPT)
    for settings in connections.settings.values():
        settings["ATOMIC_REQUESTS"] = True
    heard: list[Any] = []
    with contextlib.ExitStack() as stack:
        for signal in (key_issued, key_revoked, budget_exhausted):
            note = _noted(heard, signal)
            signal.connect(note)
            stack.callback(signal.disconnect, note)
        try:
            async with serve(way) as url:
                await _use_everything(url, database)
                await until(lambda: len(heard) == 3)
        finally:
            for settings in connections.settings.values():
                settings["ATOMIC_REQUESTS"] = False
    assert [signal for signal, _ in heard] == [key_issued, budget_exhausted, key_revoked]
    rows = await apart(lambda: list(Usage.objects.using(database).order_by("at").values()))
    paid = [row for row in rows if row["outcome"] == "ok"]
    assert [(row["subject"], row["model"], row["target"], row["cost"], row["cost_source"]) for row in paid] == [
        ("ann", "echo", "echo", 30_000, "own")
    ] * 2


def _noted(heard: list[Any], signal: Any) -> Callable[..., None]:
    def note(sender: Any, **told: Any) -> None:
        heard.append((signal, told))

    return note


async def _use_everything(url: str, database: str) -> None:
    await apart(lambda: Price.objects.using(database).create(model="echo", input=0, output=0, request="0.03"))
    gateway = get_gateway()
    made = await gateway.keys.create("ann")
    async with client(url, made.text) as ann:
        first = (await ann.post("/responses", json=HELLO)).raise_for_status().json()
        second = await ann.post("/responses", json={**HELLO, "previous_response_id": first["id"]})
        assert second.raise_for_status().json()["previous_response_id"] == first["id"]
        assert (await ann.get(f"/responses/{first['id']}")).json()["id"] == first["id"]
        kept = Response.objects.using(database)
        assert await apart(lambda: set(kept.values_list("tenant", "subject"))) == {("default", "ann")}
        await until(lambda: not QuotaHold.objects.using(database).exists())
        assert await apart(lambda: QuotaSpent.objects.using(database).get().amount) > 0
        refused = await ann.post("/responses", json={**HELLO, "max_output_tokens": 50_000})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
        await until(lambda: Usage.objects.using(database).count() == 3)
        assert await gateway.keys.revoke(made.key.id)
        assert (await ann.post("/responses", json=HELLO)).status_code == 401
    key = await apart(APIKey.objects.using(database).get)
    assert key.revoked
    assert made.text not in repr(vars(key))
    await gateway.aclose()


async def test_staff_change_budgets_while_it_runs(
    way: str,
    serve: Any,
    configured: Any,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(budgets, "FRESH", 0.0)
    configured({**KEPT, "quotas": [], "auth": {"keys": [{"key": "k", "subject": "ann"}]}})
    rows = Budget.objects.using(database)
    one = {"resource": "requests", "window": "lifetime"}
    async with serve(way) as url, client(url, "k") as ann:

        async def asked() -> tuple[int, str]:
            answer = await ann.post("/responses", json=HELLO)
            return answer.status_code, (answer.json()["error"] or {}).get("message", "")

        assert (await asked())[0] == 200
        made = await apart(lambda: rows.create(name="few", limit=1, **one))
        assert (await asked())[0] == 200
        assert (await asked()) == (429, 'quota "few" of 1 requests in all is used up')
        await apart(lambda: rows.filter(pk=made.pk).update(limit=2))
        assert [(await asked())[0] for _ in range(2)] == [200, 429]
        await apart(lambda: rows.filter(pk=made.pk).update(active=False))
        assert (await asked())[0] == 200
        await apart(lambda: rows.filter(pk=made.pk).update(active=True, limit=-1))
        assert (await asked())[0] == 200
        assert "the budget few in the database makes no sense" in caplog.text
        await until(lambda: Usage.objects.using(database).count() == 7)
        await get_gateway().aclose()


async def test_budgets_that_were_never_read_let_nobody_pass(configured: Any, database: str) -> None:
    configured({**KEPT, "quotas": [], "auth": {"anonymous": True}})

    def rename(old: str, new: str) -> None:
        with connections[database].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    async def asked() -> tuple[int, str | None]:
        answer = await AsyncClient().post("/llm/v1/responses", HELLO, content_type="application/json")
        return answer.status_code, (answer.json()["error"] or {}).get("code")

    await apart(lambda: rename("asgi_llm_budget", "elsewhere"))
    try:
        assert await asked() == (503, "quota_store_unavailable")
    finally:
        await apart(lambda: rename("elsewhere", "asgi_llm_budget"))
    assert (await asked())[0] == 200
    await get_gateway().aclose()


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
async def test_no_connection_is_held_while_twenty_streams_run(
    way: str, serve: Any, configured: Any, postgres_server: Any, database: str
) -> None:
    configured({**KEPT, "quotas": [{**KEPT["quotas"][0], "limit": 10**9}]})
    name = connections.settings[database]["NAME"]
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    streams: list[Any] = []
    async with serve(way) as url:
        made = await get_gateway().keys.create("ann")
        async with client(url, made.text) as ann, contextlib.AsyncExitStack() as running:
            await asyncio.gather(*(begin(ann, "/responses", running, streams) for _ in range(20)))
            await until(lambda: postgres_server.run(asked) == "0")
            assert await Desk().read(lambda database: QuotaHold.objects.using(database).count()) == 20
        await until(lambda: Usage.objects.using(database).count() == 20)
        await get_gateway().aclose()


KEEPING: dict[str, tuple[dict[str, Any], int]] = {
    "closed": ({"CONN_MAX_AGE": 0}, 0),
    "kept": ({"CONN_MAX_AGE": 600}, 5),
    "pool": ({"CONN_MAX_AGE": 0, "OPTIONS": {"pool": {"min_size": 1, "max_size": 3}}}, 3),
}
"""How a project keeps connections, and how many may lie idle then: of the gateway's own threads, or of the pool."""


@pytest.fixture(params=KEEPING)
def idle(request: pytest.FixtureRequest, new_database: Callable[..., None]) -> Iterator[tuple[str, int]]:
    """A PostgreSQL database with all of the project's tables, of which the server is asked, and the most that may lie
    idle there."""
    if request.param == "pool":
        pytest.importorskip("psycopg_pool")
    chosen: Any = router.routers[0]
    name = f"whole-{request.param}"
    given, most = KEEPING[request.param]
    new_database(name, "postgresql", ATOMIC_REQUESTS=True, **given)
    chosen.chosen, chosen.everything = name, True
    yield name, most
    together = Barrier(5)

    def close(database: str) -> None:
        together.wait(20)  # so that each thread does it once
        connections[database].close()

    async def close_all() -> None:
        await asyncio.gather(*(Desk(5, 30).read(close) for _ in range(5)))

    asyncio.run(close_all())
    chosen.chosen, chosen.everything = "default", False
    if request.param == "pool":
        connections[name].close_pool()


async def test_none_is_held_for_who_is_known_by_the_session(
    way: str, serve: Any, configured: Any, postgres_server: Any, idle: tuple[str, int]
) -> None:
    """Users, sessions and all that the gateway keeps are in one database, and requests in transactions."""
    alias, most = idle
    await apart(lambda: Usage.objects.using(alias).all().delete())
    configured({**KEPT, "auth": {}, "identity": "session", "quotas": []})

    def cookies() -> dict[str, str]:
        visitor = Client()
        visitor.force_login(get_user_model().objects.get_or_create(username="ann")[0])
        return {"sessionid": visitor.cookies["sessionid"].value, "csrftoken": "a" * 32}

    streams: list[Any] = []
    counted = "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity WHERE datname = "
    counted += f"'{connections.databases[alias]['NAME']}'"

    def at_rest() -> bool:
        held, busy = map(int, postgres_server.run(counted).split("|"))
        return held <= most and not busy

    shown: dict[str, Any] = {"cookies": await apart(cookies), "headers": {"x-csrftoken": "a" * 32}}
    async with serve(way) as url:
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, **shown) as ann,
            contextlib.AsyncExitStack() as running,
        ):
            await asyncio.gather(*(begin(ann, "/llm/v1/responses", running, streams) for _ in range(20)))
            await until(at_rest)
        await until(lambda: Usage.objects.using(alias).count() == 20)
        await get_gateway().aclose()


def test_migrations_say_what_the_models_do() -> None:
    call_command("makemigrations", "asgi_llm", check=True, dry_run=True, verbosity=0)
    assert missing_migrations("default") == []


async def test_missing_tables_are_told_of(
    configured: Any, database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "_told", float("-inf"))  # else it is not said again so soon
    configured({**KEPT, "auth": {"anonymous": True}, "quotas": [], "ledger": {"enabled": False}})

    async def migrate(*named: str) -> None:
        await apart(lambda: call_command("migrate", "asgi_llm", *named, database=database, verbosity=0))

    async def check() -> list[str | None]:
        return await apart(lambda: [found.id for found in run_checks(tags=[Tags.database], databases=[database])])

    assert "asgi_llm.W006" not in await check()
    await migrate("zero")
    try:
        assert "asgi_llm.W006" in await check()
        with caplog.at_level(logging.ERROR, logger="asgi_llm"):
            await check_at_start()
            await AsyncClient().post("/llm/v1/responses", HELLO, content_type="application/json")
        # Gateways of other tests may still be settling, and say so as well.
        assert {
            "tables of the gateway are missing (0001_initial): run manage.py migrate asgi_llm",
            "tables of the gateway are missing or of another version: run manage.py migrate asgi_llm",
        } <= set(caplog.messages)
        await get_gateway().aclose()
    finally:
        await migrate()


def test_the_commands_of_the_gateway(configured: Any, database: str) -> None:
    """``keys`` and ``usage`` as ``asgi-llm`` has them, on the project's database."""
    configured(KEPT)

    def told(*arguments: str) -> str:
        out = io.StringIO()
        call_command("asgi_llm", *arguments, stdout=out, stderr=io.StringIO())
        return out.getvalue()

    text = told("keys", "create", "--subject", "ann", "--tenant", "acme").strip()
    name = text.split("_")[1]
    assert f"{name}  never used  ann" in told("keys", "list", "--tenant", "acme")
    told("keys", "revoke", name, "--tenant", "acme")
    assert f"{name}  revoked" in told("keys", "list", "--tenant", "acme")
    with pytest.raises(CommandError, match="did not work"):
        told("keys", "revoke", "nothing")
    Usage.objects.using(database).create(
        id="r", at=1_795_262_400_000, day="2026-11-21", tenant="acme", subject="ann", endpoint="e", dialect="chat",
        outcome="ok", model="m", cost=1_234_567,
    )  # fmt: skip
    assert "1.234567" in told("usage", "--by", "day,model")
    assert json.loads(told("usage", "--rows", "--format", "json"))[0]["id"] == "r"
    with pytest.raises(CommandError):
        told("doctor", "http://127.0.0.1:9/llm")
    assert told("check").startswith("ok: ")
