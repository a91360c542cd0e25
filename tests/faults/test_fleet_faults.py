"""A fleet of real processes, of which one dies, hangs, or lies: callers do not notice before the first byte, hear of it
in their own words after it, and never get the answers of two workers in one."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.fleet.standing import Standing, standing
from asgi_llm.testing import ASGIDriver, no_leaks

pytestmark = pytest.mark.once
ENGINE = Path(__file__).with_name("engine.py")
WHOLE = 5
"""Words of a whole answer."""
HASTY = {"connect": 5, "first_byte": 1.5, "answer": 1.5, "idle": 1.5}
"""Where somebody is to be given up in time; elsewhere nobody is hurried."""


class Engine:
    """A worker's process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, port: int) -> None:
        self.name = name
        self.process = process
        self.port = port

    async def turn(self, mode: str) -> None:
        """What it does from now on."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"POST /mode HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(mode), mode.encode()))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)


@asynccontextmanager
async def engine(name: str, *chain: str) -> AsyncIterator[Engine]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ENGINE), name, *chain, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": ""}
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            port = int(await process.stdout.readline())
        yield Engine(name, process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Site:
    """A gateway before three workers, ``a``, ``b`` and ``c``, of which ``a`` is the one that something happens to."""

    def __init__(self, gateway: Gateway, engines: list[Engine], settled: list[Exchange]) -> None:
        self.gateway = gateway
        self.engines = engines
        self.settled = settled
        self.driver = ASGIDriver(gateway.asgi)

    @property
    def first(self) -> Engine:
        return self.engines[0]

    async def begin(self) -> Any:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        return await self.driver.request("POST", "/v1/chat/completions", json=body)

    async def ask(self) -> tuple[int, str]:
        """Status and text of one answer; of an answer that broke off, the text with the error's code behind it."""
        return await heard(await self.begin())

    async def ask_many(self, number: int) -> list[tuple[int, str]]:
        return list(await asyncio.gather(*(self.ask() for _ in range(number))))

    def standing(self) -> Standing:
        runtime = self.gateway.runtime()
        return standing(runtime.fleet.crews["fleet"], runtime.loop.time())

    def check_attempts(self) -> None:
        """No exchange asked a worker twice, and none had an answer from more than one."""
        for exchange in self.settled:
            asked = [one.worker for one in exchange.attempts]
            assert len(set(asked)) == len(asked)
            assert [one.result for one in exchange.attempts].count("ok") <= 1

    async def recovers(self) -> None:
        """Once the fault is over, all of it is: every worker serves, and nothing is held against anyone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + 60
        while True:
            assert {status for status, _ in await self.ask_many(6)} == {200}
            found = self.standing().workers
            if all(worker.breaker == "closed" and not worker.cooling for worker in found):
                break
            assert loop.time() < until, found
            await asyncio.sleep(0.05)
        assert [worker.load for worker in self.standing().workers] == [0, 0, 0]


async def heard(exchange: Any) -> tuple[int, str]:
    head, body = await exchange.start(), await exchange.body()
    await exchange.finished()
    if head.status != 200:
        return head.status, str(head.header("x-llm-error-code"))
    said = ""
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        value = json.loads(line[6:])
        if "error" in value:
            return head.status, f"{said}!{value['error']['code']}"
        said += "".join(choice["delta"].get("content") or "" for choice in value["choices"])
    return head.status, said if body.endswith(b"data: [DONE]\n\n") else f"{said}!cut"


def speakers(text: str) -> set[str]:
    return set(re.findall(r"[abc](?=\d )", text))


def is_whole(answer: tuple[int, str]) -> bool:
    status, text = answer
    speaker = text[:1]
    return status == 200 and text == "".join(f"{speaker}{number} " for number in range(WHOLE))


@asynccontextmanager
async def site(**more: Any) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        engines = await asyncio.gather(*(stack.enter_async_context(engine(name)) for name in "abc"))
        async with no_leaks():
            target = {
                "provider": "openai_compatible",
                "workers": [{"url": f"http://127.0.0.1:{one.port}/v1"} for one in engines],
                "retry": {"base": 0.001},
                "breaker": {"failures": 3, "open_for": 0.2},
            }
            settled: list[Exchange] = []
            tree = {"targets": {"fleet": target | more}, "auth": {"anonymous": True}}
            gateway = Gateway(tree, on_settled=settled.append)
            async with gateway.running():
                one = Site(gateway, list(engines), settled)
                yield one
                one.check_attempts()
                assert all(worker.load == 0 for worker in one.standing().workers)


BEFORE_THE_FIRST_BYTE = ["429", "529", "500", "503", "hang_up", "empty", "in_band", "page", "loris", "late", "flapping"]
SILENT = {"loris", "late"}


@pytest.mark.parametrize("mode", BEFORE_THE_FIRST_BYTE)
async def test_nobody_notices_a_fault_before_the_first_byte(mode: str) -> None:
    async with site(timeouts=HASTY if mode in SILENT else {}) as one:
        await one.first.turn(mode)
        answers = [*await one.ask_many(12), *await one.ask_many(12)]
        assert [answer for answer in answers if not is_whole(answer)] == []
        assert any(len(exchange.attempts) > 1 for exchange in one.settled)  # so there was something to notice
        await one.first.turn("well")
        await one.recovers()


async def test_nobody_notices_a_worker_that_is_killed_before_the_first_byte() -> None:
    async with site() as one:
        await one.first.turn("late")
        waiting = [await one.begin() for _ in range(30)]
        async with asyncio.timeout(60):
            while one.standing().workers[0].load < 10:
                await asyncio.sleep(0.001)
        one.first.signal(signal.SIGKILL)
        answers = [*await asyncio.gather(*map(heard, waiting)), *await one.ask_many(30)]
        assert [answer for answer in answers if not is_whole(answer)] == []
        assert one.standing().workers[0].breaker != "closed"


async def test_a_paused_worker_stalls_nobody_elses_requests() -> None:
    """Pools are apart: the others answer while the requests to the paused one still wait."""
    async with site() as one:
        one.first.signal(signal.SIGSTOP)
        exchanges = [await one.begin() for _ in range(30)]
        async with asyncio.timeout(60):
            while len(one.settled) < 20:
                await asyncio.sleep(0.001)
        assert [worker.load for worker in one.standing().workers] == [10, 0, 0]
        assert {exchange.attempts[0].worker for exchange in one.settled} == {"fleet#1", "fleet#2"}
        one.first.signal(signal.SIGCONT)
        assert all(map(is_whole, await asyncio.gather(*map(heard, exchanges))))


async def test_nobody_notices_a_worker_that_is_paused_for_long() -> None:
    async with site(timeouts=HASTY) as one:
        one.first.signal(signal.SIGSTOP)
        assert all(map(is_whole, await one.ask_many(12)))
        assert one.standing().workers[0].breaker != "closed"
        one.first.signal(signal.SIGCONT)
        await one.recovers()


@pytest.mark.parametrize(
    ("mode", "code"),
    [("reset", "upstream_reset"), ("truncated", "upstream_reset"), ("unfinished", None)],
)
async def test_an_answer_that_breaks_off_is_told_and_not_pieced_together(mode: str, code: str | None) -> None:
    async with site() as one:
        await one.first.turn(mode)
        answers = await one.ask_many(9)
        broken = [text for status, text in answers if "!" in text]
        assert len(broken) == 3
        for text in broken:
            assert speakers(text) == {"a"}
            assert text.startswith("a0 ")
            assert code is None or text.endswith(f"!{code}")
        assert sum(map(is_whole, answers)) == 6
        # It counts against the worker though its answer had begun.
        assert one.standing().workers[0].breaker != "closed"
        assert sorted({exchange.outcome for exchange in one.settled}) == ["interrupted", "ok"]
        await one.first.turn("well")
        await one.recovers()


async def test_a_worker_killed_in_the_middle_of_answers_ends_those_only() -> None:
    async with site() as one:
        await one.first.turn("halfway")
        exchanges = [await one.begin() for _ in range(9)]
        async with asyncio.timeout(60):
            while len(one.settled) < 6:
                await asyncio.sleep(0.001)
        for exchange in exchanges:
            await exchange.start()
        one.first.signal(signal.SIGKILL)
        answers = await asyncio.gather(*map(heard, exchanges))
        assert sum(map(is_whole, answers)) == 6
        assert [speakers(answer[1]) for answer in answers if not is_whole(answer)] == [{"a"}] * 3
        assert all(map(is_whole, await one.ask_many(12)))


async def test_a_worker_that_speaks_no_tls_is_passed_over() -> None:
    async with site() as plain:
        ports = [one.port for one in plain.engines]
        urls = [f"https://127.0.0.1:{ports[0]}/v1", *(f"http://127.0.0.1:{port}/v1" for port in ports[1:])]
        async with site(workers=[{"url": url} for url in urls]) as one:
            assert all(map(is_whole, await one.ask_many(12)))
            causes = {entry.result for exchange in one.settled for entry in exchange.attempts}
            assert causes == {"ok", "tls"}
            assert one.standing().workers[0].breaker != "closed"


@pytest.mark.parametrize("why", ["unknown authority", "another host"])
async def test_a_worker_with_a_certificate_that_is_not_its_own_is_passed_over(why: str, authority, tmp_path) -> None:  # type: ignore[no-untyped-def]  # fixtures
    """The others show good ones, signed by whom the target trusts."""
    bad = authority.another() if why == "unknown authority" else authority
    host = "127.0.0.1" if why == "unknown authority" else "elsewhere.example"
    chains = [bad.chain(tmp_path, host), authority.chain(tmp_path), authority.chain(tmp_path)]
    async with AsyncExitStack() as stack:
        engines = [
            await stack.enter_async_context(engine(name, str(chain))) for name, chain in zip("abc", chains, strict=True)
        ]
        urls = [{"url": f"https://127.0.0.1:{one.port}/v1"} for one in engines]
        async with site(workers=urls, tls={"ca": authority.pem}) as one:
            assert all(map(is_whole, await one.ask_many(12)))
            found = {(entry.worker, entry.result) for exchange in one.settled for entry in exchange.attempts}
            assert found == {("fleet#0", "tls"), ("fleet#1", "ok"), ("fleet#2", "ok")}
            assert one.standing().workers[0].breaker != "closed"


async def test_when_all_are_dead_it_is_said_and_when_they_are_back_they_serve() -> None:
    async with site() as one:
        for each in one.engines:
            await each.turn("500")
        answers = [*await one.ask_many(12), *await one.ask_many(3)]
        assert {status for status, _ in answers} <= {500, 503}
        assert (503, "no_available_workers") in answers
        for each in one.engines:
            await each.turn("well")
        await asyncio.sleep(0.25)  # until the breakers let somebody try
        async with asyncio.timeout(60):
            while not all(map(is_whole, await one.ask_many(3))):
                await asyncio.sleep(0.01)
        await one.recovers()


async def test_a_storm_is_not_multiplied() -> None:
    """All are overloaded: the fleet gets little more than was asked of it."""
    async with site(breaker={"failures": 100_000}) as one:
        for each in one.engines:
            await each.turn("503")
        for _ in range(20):
            await one.ask_many(50)
        attempts = sum(len(exchange.attempts) for exchange in one.settled)
        seconds = max(exchange.ended or 0 for exchange in one.settled) - min(one.started for one in one.settled)
        assert len(one.settled) == 1000
        assert attempts <= 1000 + 100 + 0.2 * 1000 + 10 * seconds
