"""Real coding agents through the gateway, against a scripted model: ``python tests/agents/run.py``. See README.md."""

import argparse
import asyncio
import json
import logging
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from agents import AGENTS, KEY, Agent, Place, find
from model import Model
from plays import PLAYS, Evidence, Play
from strict import Dialect, wrongs

from asgi_llm import Gateway, LLMMiddleware
from asgi_llm.testing import ScriptedUpstream

_UPSTREAM_KEY = "sk-of-the-target"
_TARGETS: dict[Dialect, dict[str, Any]] = {
    "chat": {"provider": "openai_compatible"},
    "messages": {"provider": "anthropic"},
    "responses": {"provider": "openai", "dialects": ["responses"]},
    "gemini": {"provider": "gemini"},
}


async def _site(scope: Any, receive: Any, send: Any) -> None:
    """The application around the gateway."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"no such page"})


@asynccontextmanager
async def _served(gateway: Gateway) -> AsyncIterator[str]:
    app = LLMMiddleware(_site, gateway, prefix="/llm")
    config = uvicorn.Config(app, lifespan="on", log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Not serve(): that would take over the signals of this program.
        task = asyncio.create_task(server._serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/llm"
        finally:
            server.should_exit = True
            await task


async def _play(play: Play, agent: Agent, program: str, dialect: Dialect, folder: Path) -> tuple[Evidence, list[str]]:
    """One run; what went wrong in it."""
    home, work = folder / "home", folder / "work"
    home.mkdir(parents=True)
    work.mkdir()
    model = Model(dialect, play.lines(agent, work), play.stumbles, play.always, agent.keeps_ids)
    seen = Evidence(agent, work, model)
    async with ScriptedUpstream(model) as upstream:
        target = {
            "base_url": f"{upstream.url}/v1",
            "api_key": _UPSTREAM_KEY,
            # The agents' own patience is what is looked at.
            "retry": {"attempts": 1},
            **_TARGETS[dialect],
            **play.target,
        }
        keys = [{"key": KEY, "subject": agent.name}]
        settings = {"targets": {"main": target}, "auth": {"keys": keys}, **agent.settings}
        gateway = Gateway(settings, on_settled=seen.exchanges.append)
        async with _served(gateway) as url:
            place = Place(home, work, url)
            for number, prompt in enumerate(play.prompts):
                seen.outcomes.append(await agent.run(program, place, prompt, again=number > 0))
    found = [*play.check(seen), *_sound(seen)]
    _keep(folder, seen)
    return seen, found


def _sound(seen: Evidence) -> list[str]:
    """What must be true of every request that reached the model."""
    found: list[str] = []
    for number, request in enumerate([*seen.model.played, *seen.model.aside], 1):
        if KEY in str(request.headers):
            found.append(f"request {number} carries the caller's key upstream")
        # What passes as it is is the agent's own affair.
        if seen.agent.dialect != seen.model.dialect:
            found += [f"request {number}: {wrong}" for wrong in wrongs(request.json, seen.model.dialect)]
    return found


def _keep(folder: Path, seen: Evidence) -> None:
    """Everything that explains a failure, as files beside the agent's own."""
    for number, request in enumerate([*seen.model.played, *seen.model.aside], 1):
        head = "".join(f"{name.decode()}: {value.decode()}\n" for name, value in request.headers)
        (folder / f"request-{number}.txt").write_text(f"{request.method} {request.path}\n{head}")
        (folder / f"request-{number}.json").write_text(json.dumps(request.json, indent=1, ensure_ascii=False))
    for number, outcome in enumerate(seen.outcomes, 1):
        (folder / f"run-{number}.txt").write_text(f"exit {outcome.code}\n{outcome.out}\n--- stderr\n{outcome.err}")
    told = [f"{e.endpoint} {e.status} {e.outcome} {e.error_code} {_warnings(e)}" for e in seen.exchanges]
    (folder / "exchanges.txt").write_text("\n".join(told) + "\n")


def _warnings(exchange: Any) -> str:
    return ",".join(f"{warned.field};{warned.action}" for warned in exchange.warnings)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents-dir", type=Path, help="where npm installed the agents (default: the PATH)")
    parser.add_argument("--agent", action="append", help="only these (default: all that are found)")
    parser.add_argument("--upstream", action="append", choices=list(_TARGETS), help="only these dialects upstream")
    parser.add_argument("--play", action="append", choices=[play.name for play in PLAYS], help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="how many agents run at once (default: 2)")
    parser.add_argument("--keep", type=Path, help="a folder for what was said and printed (default: thrown away)")
    return parser.parse_args()


def _for(wanted: Any, name: str) -> bool:
    return not wanted or name in wanted


async def _main(options: argparse.Namespace) -> int:
    agents: list[tuple[Agent, str]] = []
    for agent in AGENTS:
        if not _for(options.agent, agent.name):
            continue
        if (program := find(agent, options.agents_dir)) is None:
            where = options.agents_dir or "the PATH"
            print(f"SKIPPED {agent.name}: there is no `{agent.program}` in {where}")
        else:
            agents.append((agent, program))
    if not agents:
        print("No agent was found, so nothing was tried. README.md says how to install them.")
        return 2
    root = options.keep or Path(tempfile.mkdtemp(prefix="agents-"))
    gate = asyncio.Semaphore(options.jobs)

    async def one(play: Play, agent: Agent, program: str, dialect: Dialect) -> bool:
        folder = root / f"{agent.name}-{dialect}-{play.name}"
        async with gate:
            shutil.rmtree(folder, ignore_errors=True)
            try:
                seen, found = await _play(play, agent, program, dialect, folder)
            except Exception as error:
                print(f"BROKEN {folder.name}: {error!r}", flush=True)
                return False
        seconds = sum(outcome.seconds for outcome in seen.outcomes)
        lost = f"  [{', '.join(sorted(seen.warned))}]" if seen.warned else ""
        print(f"{'FAILED' if found else 'ok    '} {folder.name:32} {seconds:5.1f} s{lost}", flush=True)
        for wrong in found:
            print(f"         {wrong}", flush=True)
        return not found

    runs = [
        one(play, agent, program, dialect)
        for agent, program in agents
        for dialect in _TARGETS
        if _for(options.upstream, dialect)
        for play in PLAYS
        if _for(options.play, play.name) and _for(play.agents, agent.name) and _for(play.upstreams, dialect)
    ]
    good = await asyncio.gather(*runs)
    print(f"{sum(good)} of {len(good)} runs ended as they should")
    if options.keep is None:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if all(good) and good else 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    sys.exit(asyncio.run(_main(_options())))
