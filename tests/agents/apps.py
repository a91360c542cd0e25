"""Real coding agents, pointed at the example applications: ``python tests/agents/apps.py``. See README.md.

Each application is started as its README says, with its echo; each agent logs in as the README says, and has the echo
call the agent's own tool once: the result must come back through the application.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from agents import AGENTS, Agent, Place, find

APPS = Path(__file__).parents[2] / "example_apps"
PASSWORD = "ann's password"
_PATIENCE = 60.0
"""Seconds that an application may take to start."""


class Visitor:
    """What a browser, or curl with a jar of cookies, does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar())).open

    def get(self, path: str) -> str:
        return self._read(Request(self.url + path))

    def post(self, path: str, body: bytes, **headers: str) -> str:
        return self._read(Request(self.url + path, body, headers))

    def _read(self, request: Request) -> str:
        with self._open(request, timeout=10) as answer:
            text: str = answer.read().decode()
            return text


def _by_json(visitor: Visitor) -> str:
    said = visitor.post(
        "/login", json.dumps({"name": "ann", "password": PASSWORD}).encode(), **{"content-type": "application/json"}
    )
    return str(json.loads(said)["token"])


def _by_session(visitor: Visitor) -> str:
    visitor.post("/login", json.dumps({"name": "ann", "password": PASSWORD}).encode())
    return str(json.loads(visitor.get("/key"))["key"])


def _by_form(visitor: Visitor) -> str:
    page = visitor.get("/login/")
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found, page
    form = {"csrfmiddlewaretoken": found[1], "username": "ann", "password": PASSWORD}
    page = visitor.post("/login/", urlencode(form).encode())
    found = re.search(r'<code id="token">([^<]+)<', page)
    assert found, page
    return found[1]


@dataclass(frozen=True)
class Application:
    """An example: how it is started, and how ann gets what an agent shows as its key."""

    name: str
    command: str
    key: Callable[[Visitor], str]


APPLICATIONS = (
    Application("asgi_app", "-m uvicorn app:app --port 0", _by_json),
    Application("starlette_wrapped", "-m uvicorn app:app --port 0", _by_session),
    Application("fastapi_app", "-m uvicorn app:app --port 0", _by_json),
    Application("litestar_app", "-m litestar --app app:app run --port 0", _by_json),
    Application("django_app", "manage.py serve --port 0", _by_form),
)


@asynccontextmanager
async def _served(application: Application, folder: Path) -> AsyncIterator[str]:
    """The application's address. What it prints is in ``folder``."""
    at, log = APPS / application.name, folder / "server.txt"
    paths = [str(at), *(str(Path(one).resolve()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one)]
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "SHOP_DATABASE": str(folder / "shop.db")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *application.command.split(), cwd=at, env=environment, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(_PATIENCE):
            while (found := re.search(r"running on (http://\S+)", log.read_text())) is None:
                if process.returncode is not None:
                    raise RuntimeError(log.read_text())
                await asyncio.sleep(0.05)
        yield found[1]
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _run(url: str, key: str, agent: Agent, program: str, folder: Path) -> str:
    """What went wrong; "" where nothing did."""
    home, work = folder / "home", folder / "work"
    home.mkdir(parents=True)
    work.mkdir()
    # The sum is done by the shell, so no repetition of the prompt can look like a result.
    tool, arguments = agent.shell("expr 6000 + 431")
    prompt = f"What does it print?\n/tool {tool} {arguments}"
    outcome = await agent.run(program, Place(home, work, f"{url}/llm", key), prompt)
    (folder / "run.txt").write_text(f"exit {outcome.code}\n{outcome.out}\n--- stderr\n{outcome.err}")
    if outcome.code:
        return f"it ended with {outcome.code}: {(outcome.err or outcome.out)[-500:]}"
    return "" if "6431" in outcome.text else f"it said {outcome.text[-500:]!r}"


async def _try(application: Application, agents: list[tuple[Agent, str]], root: Path) -> list[bool]:
    folder = root / application.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    good = []
    async with _served(application, folder) as url:
        key = await asyncio.to_thread(application.key, Visitor(url))
        for agent, program in agents:
            wrong = await _run(url, key, agent, program, folder / agent.name)
            print(f"{'FAILED' if wrong else 'ok    '} {application.name:18} {agent.name}", flush=True)
            if wrong:
                print(f"         {wrong}", flush=True)
            good.append(not wrong)
    if "Traceback" in (folder / "server.txt").read_text():
        print(f"FAILED {application.name}: its log has a traceback")
        good.append(False)
    return good


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents-dir", type=Path, help="where npm installed the agents (default: the PATH)")
    parser.add_argument("--agent", action="append", help="only these (default: all that are found)")
    parser.add_argument("--app", action="append", choices=[one.name for one in APPLICATIONS], help="only these")
    parser.add_argument("--keep", type=Path, help="a folder for what was said and printed (default: thrown away)")
    return parser.parse_args()


async def _main(options: argparse.Namespace) -> int:
    wanted = [agent for agent in AGENTS if not options.agent or agent.name in options.agent]
    agents = [(agent, program) for agent in wanted if (program := find(agent, options.agents_dir))]
    for agent in wanted:
        if agent not in [found for found, _ in agents]:
            print(f"SKIPPED {agent.name}: there is no `{agent.program}` in {options.agents_dir or 'the PATH'}")
    if not agents:
        print("No agent was found, so nothing was tried. README.md says how to install them.")
        return 2
    root = options.keep or Path(tempfile.mkdtemp(prefix="agents-"))
    applications = [one for one in APPLICATIONS if not options.app or one.name in options.app]
    good = []
    for one in applications:
        try:
            good += await _try(one, agents, root)
        except Exception as error:
            print(f"BROKEN {one.name}: {error}", flush=True)
            good.append(False)
    print(f"{sum(good)} of {len(good)} runs ended as they should")
    if options.keep is None:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(_options())))
