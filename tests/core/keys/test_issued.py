"""Issued keys on the way of a request: shown once, looked up and remembered, scoped, rotated, revoked."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import ConfigError, Exchange, Gateway
from asgi_llm.cli import main
from asgi_llm.keys.ring import KeyRing
from asgi_llm.keys.token import digest_of, id_of, mint
from asgi_llm.stores.keys import IssuedKey
from asgi_llm.stores.memory.keys import MemoryKeys
from asgi_llm.testing import ASGIDriver, no_leaks

START = 1_800_000_000.0


class Watched(MemoryKeys):
    """Counts what it is asked, and can be out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.down = False
        self.slow: asyncio.Event | None = None

    async def find(self, id: str) -> IssuedKey | None:  # noqa: A002  # as the protocol has it
        self.asked.append(id)
        await asyncio.sleep(0)
        if self.down:
            raise OSError("no route to the store")
        found = await super().find(id)
        if self.slow is not None:
            await self.slow.wait()
        return found


class World:
    def __init__(self, gateway: Gateway, settled: list[Exchange]) -> None:
        self.gateway, self.settled = gateway, settled
        self.driver = ASGIDriver(gateway.asgi)
        self.now = START
        self.store = Watched()
        self.ring.store = self.store
        self.ring.clock = lambda: self.now

    @property
    def ring(self) -> KeyRing:
        ring = self.gateway.runtime().keyring
        assert ring is not None
        return ring

    async def ask(
        self, key: str, path: str = "/v1/chat/completions", model: str = "echo-1", header: str = "authorization"
    ) -> tuple[int, Any]:
        value = f"Bearer {key}" if header == "authorization" else key
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
        method = "GET" if path == "/v1/models" else "POST"
        exchange = await self.driver.request(method, path, [(header, value)], json=body if method == "POST" else None)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
        return head.status, json.loads(data)


@asynccontextmanager
async def world(**issued: Any) -> AsyncIterator[World]:
    settled: list[Exchange] = []
    settings = {"targets": {"up": {"provider": "echo"}}, "auth": {"issued": issued}}
    async with no_leaks():
        gateway = Gateway(settings, on_settled=settled.append)
        async with gateway.running():
            yield World(gateway, settled)


async def test_a_key_says_who_calls() -> None:
    async with world() as here:
        new = await here.gateway.keys.create("ann", tenant="acme", roles=["staff"])
        for header in ("authorization", "x-api-key", "x-goog-api-key"):
            assert (await here.ask(new.text, header=header))[0] == 200
        identity = here.settled[-1].identity
        assert (identity.subject, identity.tenant, identity.roles) == ("ann", "acme", ("staff",))
        assert (identity.source, identity.key_id) == ("key", new.key.id)
        assert new.text.startswith(f"llm_{new.key.id}_")


async def test_a_key_is_shown_once_and_kept_nowhere() -> None:
    async with world() as here:
        new = await here.gateway.keys.create("ann")
        (kept,) = await here.gateway.keys.list()
        assert kept.digest == hashlib.sha256(new.text.encode()).digest()
        secret = new.text.rpartition("_")[2]
        assert secret not in repr(kept) + repr(new) + repr(here.ring.__dict__)


@pytest.mark.parametrize("pepper", [None, "pepper"])
def test_what_is_kept(pepper: str | None) -> None:
    name, text = mint("llm")
    assert id_of("llm", text.encode()) == name
    assert digest_of(text.encode(), pepper) == digest_of(text.encode(), pepper)
    assert digest_of(text.encode(), pepper) != digest_of(text.encode(), "another")
    assert mint("llm") != mint("llm")


@pytest.mark.parametrize("key", ["sk-other", "llm_short_x", "LLM_" + "a" * 12 + "_" + "b" * 43, "x" * 5000])
async def test_what_is_none_of_ours_is_not_asked_for(key: str) -> None:
    async with world() as here:
        status, body = await here.ask(key)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert here.store.asked == []


async def test_the_right_id_with_the_wrong_secret() -> None:
    async with world() as here:
        new = await here.gateway.keys.create("ann")
        wrong = new.text[:-1] + ("a" if new.text[-1] != "a" else "b")
        assert (await here.ask(wrong))[0] == 401
        assert (await here.ask(new.text))[0] == 200


async def test_what_is_known_is_not_asked_again_for_a_while() -> None:
    async with world(fresh=30, unknown=10) as here:
        new = await here.gateway.keys.create("ann")
        _, unknown = mint("llm")
        for _ in range(3):
            assert (await here.ask(new.text))[0] == 200
            assert (await here.ask(unknown))[0] == 401
        assert len(here.store.asked) == 2
        here.now += 11
        assert [(await here.ask(key))[0] for key in (new.text, unknown)] == [200, 401]
        assert len(here.store.asked) == 3
        here.now += 20
        assert (await here.ask(new.text))[0] == 200
        assert len(here.store.asked) == 4


async def test_many_at_once_ask_once() -> None:
    async with world() as here:
        new = await here.gateway.keys.create("ann")
        done = await asyncio.gather(*(here.ask(new.text) for _ in range(20)))
        assert {status for status, _ in done} == {200}
        assert len(here.store.asked) == 1


async def test_a_store_that_is_down() -> None:
    """What was good stays good for a while; nobody is told that his key is wrong because a database is away."""
    async with world(fresh=30, stale=3600) as here:
        new = await here.gateway.keys.create("ann")
        assert (await here.ask(new.text))[0] == 200
        here.store.down = True
        here.now += 1000
        assert (await here.ask(new.text))[0] == 200
        _, unknown = mint("llm")
        status, body = await here.ask(unknown)
        assert (status, body["error"]["code"]) == (503, "store_unavailable")
        assert "route" not in json.dumps(body)
        here.now += 3600
        assert (await here.ask(new.text))[0] == 503
        here.store.down = False
        assert (await here.ask(new.text))[0] == 200


async def test_expiry_holds_for_what_is_remembered_as_well() -> None:
    async with world(fresh=1000) as here:
        new = await here.gateway.keys.create("ann", lifetime=60)
        assert (await here.ask(new.text))[0] == 200
        here.now += 60
        assert (await here.ask(new.text))[0] == 401


async def test_revoking_works_at_once_here_and_soon_elsewhere() -> None:
    async with world(fresh=30) as here:
        first, second = [await here.gateway.keys.create("ann") for _ in range(2)]
        assert [(await here.ask(new.text))[0] for new in (first, second)] == [200, 200]
        assert not await here.gateway.keys.revoke(first.key.id, tenant="other")
        assert await here.gateway.keys.revoke(first.key.id)
        await MemoryKeys.revoke(here.store, "default", second.key.id, here.now)  # by another process
        assert [(await here.ask(new.text))[0] for new in (first, second)] == [401, 200]
        here.now += 30
        assert (await here.ask(second.text))[0] == 401


async def test_what_was_asked_before_it_was_revoked_is_not_remembered() -> None:
    async with world(fresh=30) as here:
        key = await here.gateway.keys.create("ann")
        here.store.slow = slow = asyncio.Event()
        asking = asyncio.ensure_future(here.ask(key.text))
        while not here.store.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await here.gateway.keys.revoke(key.key.id)
        slow.set()
        await asking  # it came before
        assert (await here.ask(key.text))[0] == 401


async def test_rotation_overlaps() -> None:
    async with world(fresh=5) as here:
        old = await here.gateway.keys.create("ann", roles=["x"], models=["echo*"], lifetime=1000)
        here.now += 100
        new = await here.gateway.keys.rotate(old.key.id, overlap=60)
        assert new is not None
        assert (new.key.roles, new.key.models, new.key.replaces) == (("x",), ("echo*",), old.key.id)
        assert new.key.expires == here.now + 1000
        assert [(await here.ask(key.text))[0] for key in (old, new)] == [200, 200]
        here.now += 60
        assert [(await here.ask(key.text))[0] for key in (old, new)] == [401, 200]
        assert await here.gateway.keys.rotate(old.key.id) is None


async def test_a_key_is_for_what_it_says() -> None:
    async with world() as here:
        keys = here.gateway.keys
        model = (await keys.create("a", models=["echo-*", "!echo-2"])).text
        assert [(await here.ask(model, model=name))[0] for name in ("echo-1", "echo-2", "other")] == [200, 403, 403]
        endpoint = (await keys.create("b", endpoints=["messages", "models"])).text
        assert (await here.ask(endpoint))[0] == 403
        assert (await here.ask(endpoint, "/v1/models"))[0] == 200
        target = (await keys.create("c", targets=["elsewhere"])).text
        assert (await here.ask(target))[0] == 403
        status, body = await here.ask(target, "/v1/models")
        assert (status, body["data"]) == (200, [])


async def test_when_a_key_was_used_is_written_together() -> None:
    async with world(touch=60) as here:
        new = await here.gateway.keys.create("ann")
        for _ in range(3):
            here.now += 1
            await here.ask(new.text)
        assert (await here.gateway.keys.list())[0].used is None
        await here.ring._touch()
        assert (await here.gateway.keys.list())[0].used == START + 3


async def test_keys_of_the_settings_go_on_working() -> None:
    settings = {
        "targets": {"up": {"provider": "echo"}},
        "auth": {"issued": {}, "keys": [{"key": "sk-settings", "subject": "ci"}]},
    }
    gateway = Gateway(settings)
    async with gateway.running():
        here = World(gateway, [])
        assert (await here.ask("sk-settings"))[0] == 200
        assert (await here.ask("sk-unknown"))[0] == 401
        assert (await here.ask((await gateway.keys.create("ann")).text))[0] == 200


async def test_without_the_setting_no_keys_are_issued() -> None:
    gateway = Gateway({"targets": {"up": {"provider": "echo"}}})
    async with gateway.running():
        with pytest.raises(ConfigError, match=r"auth\.issued"):
            await gateway.keys.create("ann")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sqlalchemy")
    file = tmp_path / "llm.toml"
    file.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/llm.db"\n[targets.up]\nprovider = "echo"\n'
        '[auth.issued]\nprefix = "acme"\n'
    )

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["keys", arguments[0], str(file), *arguments[1:]])
        out, err = capsys.readouterr()
        return code, out.strip(), err

    code, text, said = run("create", "--subject", "ann", "--role", "staff", "--model", "echo-*", "--lifetime", "90d")
    assert (code, text.startswith("acme_"), "shown only now" in said) == (0, True, True)
    name = text.split("_")[1]
    code, listed, _ = run("list")
    assert (code, listed.startswith(name), "never used" in listed, text in listed) == (0, True, True, False)
    (told,) = json.loads(run("list", "--json")[1])
    assert (told["id"], told["models"], "digest" in told) == (name, ["echo-*"], False)
    code, second, _ = run("rotate", name, "--overlap", "1h")
    assert (code, second.startswith("acme_"), second != text) == (0, True, True)
    assert run("revoke", name)[0] == 0
    assert run("revoke", name)[0] == 1
    assert run("revoke", second.split("_")[1], "--tenant", "other")[0] == 1
    assert "revoked" in run("list")[1]
    with pytest.raises(SystemExit):
        run("create", "--subject", "")
    assert "argument --subject: must have from 1 to 255 characters" in capsys.readouterr().err
    said = run("create", "--subject", "ann", "--target", "u*", "--target", "upp", "--endpoint", "chatt")[2]
    assert [line.partition(";")[0] for line in said.splitlines()[:-1]] == [
        'asgi-llm: warning: no endpoint matches "chatt"',
        'asgi-llm: warning: no target matches "upp"',
    ]


def test_the_command_needs_a_place_to_keep_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "llm.toml"
    file.write_text('[targets.up]\nprovider = "echo"\n[auth.issued]\n')
    assert main(["keys", "list", str(file)]) == 1
    assert "store.url" in capsys.readouterr().err
    pytest.importorskip("sqlalchemy")
    file.write_text('[targets.up]\nprovider = "echo"\n[auth.issued]\n[store]\nurl = "sqlite:////nowhere/x.db"\n')
    assert main(["keys", "list", str(file)]) == 1
    assert "unable to open database file" in capsys.readouterr().err
