"""What callers are told of their own usage; and by the command line, whoever runs the gateway of everybody's."""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.cli import main
from asgi_llm.errors import StoreError
from asgi_llm.identity import IDENTITY_KEY, Identity
from asgi_llm.metering.row import Row
from asgi_llm.testing import ASGIDriver

NOON = 1_795_262_400_000  # 2026-11-21T12:00Z
ANN = Identity(subject="ann", tenant="acme")
BOSS = Identity(subject="boss", tenant="acme", roles=("lead",))


def row(number: int, **fields: Any) -> Row:
    given: dict[str, Any] = {
        "id": f"req_{number}", "at": NOON + number, "tenant": "acme", "subject": "ann", "endpoint": "chat_completions",
        "dialect": "chat", "outcome": "ok", "status": 200, "model": "m", "worker": "up#0",
    }  # fmt: skip
    return Row(**given | fields)


ROWS = [
    row(1, fresh=10, visible=5, cost=100),
    row(2, fresh=1, cache_read=2, visible=3, cost=4, model="n", at=NOON + 86_400_000),
    row(3, subject="bob", cost=1000),
    row(4, tenant="other", cost=10_000),
]


@pytest.fixture
async def gate() -> AsyncIterator[Gateway]:
    settings = {"targets": {"echo": {"provider": "echo"}}, "ledger": {"readers": ["lead"]}}
    async with Gateway(settings).running() as gateway:
        writer = gateway.runtime().ledger
        assert writer is not None
        await writer.ledger.add(ROWS)
        yield gateway


async def ask(gateway: Gateway, query: str = "", identity: Identity | None = ANN) -> tuple[int, Any]:
    scope = {} if identity is None else {IDENTITY_KEY: identity}
    exchange = await ASGIDriver(gateway.asgi, scope=scope).request("GET", f"/v1/usage{query}")
    head = await exchange.start()
    return head.status, await exchange.json()


async def test_my_own_in_one_sum(gate: Gateway) -> None:
    status, told = await ask(gate)
    assert (status, told["scope"]) == (200, {"tenant": "acme", "subject": "ann"})
    (total,) = told["data"]
    assert (total["requests"], total["input"], total["output"], total["cost"]) == (2, 13, 8, 104)


async def test_grouped_and_bounded(gate: Gateway) -> None:
    _, told = await ask(gate, "?by=day,model")
    assert [(item["day"], item["model"], item["cost"]) for item in told["data"]] == [
        ("2026-11-21", "m", 100),
        ("2026-11-22", "n", 4),
    ]
    _, told = await ask(gate, "?by=model&until=2026-11-22")
    assert [item["model"] for item in told["data"]] == ["m"]
    _, told = await ask(gate, "?by=model&since=2026-11-22T00:00:00%2B00:00&model=n")
    assert [item["model"] for item in told["data"]] == ["n"]


async def test_single_requests_page_by_page(gate: Gateway) -> None:
    _, told = await ask(gate, "?view=rows&limit=1")
    assert [item["id"] for item in told["data"]] == ["req_2"]
    assert "worker" not in told["data"][0]
    _, told = await ask(gate, f"?view=rows&limit=1&after={told['next']}")
    assert [item["id"] for item in told["data"]] == ["req_1"]
    _, told = await ask(gate, f"?view=rows&limit=1&after={told['next']}")
    assert (told["data"], told["next"]) == ([], None)


async def test_nobody_is_shown_anothers(gate: Gateway) -> None:
    _, told = await ask(gate, "?subject=bob&by=subject")
    assert told["data"] == []
    status, told = await ask(gate, "?scope=tenant")
    assert (status, told["error"]["code"]) == (403, "usage_not_permitted")
    _, told = await ask(gate, "?scope=tenant&by=subject", BOSS)
    assert [(item["subject"], item["cost"]) for item in told["data"]] == [("ann", 104), ("bob", 1000)]
    status, _ = await ask(gate, identity=None)
    assert status == 401


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?tenant=other", "tenant"),
        ("?by=colour", "by"),
        ("?by=day,day", "by"),
        ("?since=yesterday", "since"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=-1", "limit"),
        ("?offset=x", "offset"),
        ("?view=rows&after=1", "after"),
        ("?view=all", "view"),
        ("?scope=world", "scope"),
        ("?model=a&model=b", "model"),
        ("?model=%00", "model"),
        ("?model=%ff", "query"),
    ],
)
async def test_questions_that_make_no_sense_are_refused(gate: Gateway, query: str, param: str) -> None:
    status, told = await ask(gate, query)
    assert (status, told["error"]["code"], told["error"]["param"]) == (400, "invalid_query", param)


async def test_without_a_ledger_there_is_none() -> None:
    async with Gateway({"targets": {"echo": {"provider": "echo"}}}).running() as gateway:
        status, told = await ask(gateway)
    assert (status, told["error"]["code"]) == (404, "no_ledger")


async def test_health_says_when_rows_wait(gate: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def health(path: str) -> Any:
        exchange = await ASGIDriver(gate.asgi).request("GET", path)
        assert (await exchange.start()).status == 200
        return await exchange.json()

    assert await health("/health") == {"status": "ok"}
    writer = gate.runtime().ledger
    assert writer is not None

    async def down(rows: Any) -> None:
        raise StoreError

    with monkeypatch.context() as patched:
        patched.setattr(type(writer.ledger), "add", lambda self, rows: down(rows))
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(gate.asgi, scope={IDENTITY_KEY: ANN}).request(
            "POST", "/v1/chat/completions", json=body
        )
        assert (await exchange.start()).status == 200
        await exchange.finished()
        with pytest.raises(StoreError):
            await writer.flush()
        assert await health("/health") == {"status": "ok", "ledger": "waiting"}
        assert await health("/ready") == {"status": "ready", "ledger": "waiting"}
    await writer.flush()
    assert await health("/ready") == {"status": "ready"}


@pytest.fixture
def file(tmp_path: Any, sqlite_url: str) -> str:
    pytest.importorskip("sqlalchemy")
    from asgi_llm.stores.sql.database import Database
    from asgi_llm.stores.sql.ledger import SQLLedger

    async def fill() -> None:
        database = Database(sqlite_url)
        await SQLLedger(database).add([*ROWS, row(5, model="=cmd()\x1b[2J", cost=None, fresh=1)])
        await database.aclose()

    asyncio.run(fill())
    path = tmp_path / "llm.toml"
    path.write_text(f'[targets.echo]\nprovider = "echo"\n[store]\nurl = "{sqlite_url}"\n')
    return str(path)


def test_the_command_line_prints_a_table(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", file, "--by", "tenant,subject"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == [
        "tenant",
        "subject",
        "requests",
        "failed",
        "input",
        "cache_read",
        "output",
        "reasoning",
        "cost",
        "unpriced",
    ]
    assert lines[1] == ["acme", "ann", "3", "0", "14", "2", "8", "0", "0.000104", "1"]
    assert lines[2][:2] == ["acme", "bob"]
    assert lines[3][-2:] == ["0.010000", "0"]
    assert (lines[-1][:2], int(lines[-1][1])) == (["total", "5"], sum(int(line[2]) for line in lines[1:-1]))
    assert lines[-1][-2] == f"{sum(float(line[-2]) for line in lines[1:-1]):.6f}"
    assert main(["usage", file, "--rows", "--limit", "1"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["at", "id"]
    assert re.match(r"2026-11-2\d \d\d:\d\d:\d\d  req_", row)


def test_and_json_and_csv(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", file, "--by", "day", "--tenant", "acme", "--since", "2026-11-22", "--format", "json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["day"], told["cost"], told["input"]) == ("2026-11-22", 4, 3)
    assert main(["usage", file, "--rows", "--tenant", "acme", "--subject", "ann", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [item["id"] for item in rows] == ["req_2", "req_5", "req_1"]
    assert rows[1]["model"].startswith("'=")


def test_names_that_callers_invent_do_nothing_to_a_terminal(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", file, "--by", "model"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_the_command_line_tells_what_it_cannot_do(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "llm.toml"
    path.write_text('[targets.echo]\nprovider = "echo"\n')
    assert main(["usage", str(path)]) == 1
    assert "store.url: names no database" in capsys.readouterr().err
    pytest.importorskip("sqlalchemy")
    path.write_text('[targets.echo]\nprovider = "echo"\n[store]\nurl = "sqlite:////nowhere/x.db"\n')
    assert main(["usage", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asgi-llm: the ledger cannot be read: ")
