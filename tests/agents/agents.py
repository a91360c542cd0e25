"""The agents: where they are found, how they are pointed at the gateway, how their answers are read.

Each run gets a home and a folder of its own, and a proxy that refuses every connection to the outside.
"""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

__all__ = ["AGENTS", "KEY", "MODEL", "Agent", "Outcome", "Place", "find"]

KEY = "sk-of-the-caller"
"""What the agents send as their key; must never be seen upstream."""
MODEL = "some-model"
_NOWHERE = "http://127.0.0.1:9"
"""Discard, where nobody listens."""


@dataclass(frozen=True)
class Place:
    """Where an agent runs. ``url`` is the gateway's, without ``/v1``; ``key`` is what it shows there."""

    home: Path
    work: Path
    url: str
    key: str = KEY


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``text`` is the answer as a user would read it, ``code`` the exit status (-1: timed out)."""

    code: int
    text: str
    out: str
    err: str
    seconds: float


class Agent:
    """One agent. ``program`` is the command; the methods say things in its own words."""

    name: str
    program: str
    dialect: str
    keeps_ids = True
    """Whether it sends results under the ids of their calls."""
    settings: ClassVar[dict[str, object]] = {}
    """What the gateway must be told for it."""

    def command(self, prompt: str, *, again: bool) -> list[str]:
        """What to run; ``again`` goes on with the last conversation."""
        raise NotImplementedError

    def settle(self, place: Place) -> dict[str, str]:
        """Writes the configuration; the environment that goes with it."""
        raise NotImplementedError

    def read(self, out: str) -> str:
        """The final text of what it printed."""
        raise NotImplementedError

    def shell(self, command: str) -> tuple[str, str]:
        """The call of its tool that runs a command."""
        raise NotImplementedError

    def write(self, path: Path, text: str) -> tuple[str, str]:
        """The call of its tool that writes a file."""
        return self.shell(f"printf %s '{text}' > '{path}'")

    def look(self, path: Path) -> tuple[str, str]:
        """The call of its tool that shows a picture to the model."""
        raise NotImplementedError

    async def run(
        self, program: str, place: Place, prompt: str, *, again: bool = False, seconds: float = 120
    ) -> Outcome:
        scratch = place.home / "tmp"
        scratch.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place.home),
            "TMPDIR": str(scratch),
            "LANG": "C.UTF-8",
            "HTTP_PROXY": _NOWHERE,
            "HTTPS_PROXY": _NOWHERE,
            "NO_PROXY": "127.0.0.1,localhost",
            **self.settle(place),
        }
        begun = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            program,
            *self.command(prompt, again=again),
            cwd=place.work,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), seconds)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = await process.communicate()
            return Outcome(-1, "", out.decode(), err.decode(), time.monotonic() - begun)
        said = out.decode()
        return Outcome(process.returncode or 0, self.read(said), said, err.decode(), time.monotonic() - begun)


def _lines(out: str) -> list[dict[str, object]]:
    """The JSON objects that were printed, one a line."""
    found = []
    for line in out.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


class Claude(Agent):
    """Claude Code."""

    name = program = "claude"
    dialect = "messages"

    def command(self, prompt: str, *, again: bool) -> list[str]:
        more = ["--continue"] if again else []
        tools = "Bash,Read,Write,WebSearch"
        return ["-p", prompt, "--output-format", "json", "--model", MODEL, "--allowedTools", tools, *more]

    def settle(self, place: Place) -> dict[str, str]:
        return {
            "ANTHROPIC_BASE_URL": place.url,
            "ANTHROPIC_API_KEY": place.key,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": MODEL,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
        }

    def read(self, out: str) -> str:
        results = [line for line in _lines(out) if line.get("type") == "result"]
        return str(results[-1].get("result", "")) if results else ""

    def shell(self, command: str) -> tuple[str, str]:
        return "Bash", json.dumps({"command": command, "description": "Runs it"})

    def write(self, path: Path, text: str) -> tuple[str, str]:
        return "Write", json.dumps({"file_path": str(path), "content": text})

    def look(self, path: Path) -> tuple[str, str]:
        return "Read", json.dumps({"file_path": str(path)})


class Codex(Agent):
    """Codex CLI."""

    name = program = "codex"
    dialect = "responses"
    more = ""
    """Of its provider's configuration."""

    def command(self, prompt: str, *, again: bool) -> list[str]:
        return ["exec", *(["resume", "--last"] if again else []), "--json", "--skip-git-repo-check", prompt]

    def settle(self, place: Place) -> dict[str, str]:
        folder = place.home / ".codex"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(
            f'model = "{MODEL}"\n'
            'model_provider = "gateway"\n'
            'approval_policy = "never"\n'
            'sandbox_mode = "danger-full-access"\n'
            "[model_providers.gateway]\n"
            'name = "gateway"\n'
            f'base_url = "{place.url}/v1"\n'
            'env_key = "GATEWAY_KEY"\n'
            'wire_api = "responses"\n'
            "request_max_retries = 3\n"
            f"stream_max_retries = 2\n{self.more}"
        )
        return {"CODEX_HOME": str(folder), "GATEWAY_KEY": place.key}

    def read(self, out: str) -> str:
        items = [line["item"] for line in _lines(out) if line.get("type") == "item.completed"]
        said = [item["text"] for item in items if isinstance(item, dict) and item.get("type") == "agent_message"]
        return str(said[-1]) if said else ""

    def shell(self, command: str) -> tuple[str, str]:
        return "exec_command", json.dumps({"cmd": command})

    def look(self, path: Path) -> tuple[str, str]:
        return "view_image", json.dumps({"path": str(path)})


class CodexSocket(Codex):
    """Codex CLI over a WebSocket: each request holds only what is new, and refers to the one before."""

    name = "codex-websocket"
    settings: ClassVar[dict[str, object]] = {"responses": {"stateful": True, "websocket": True}}
    more = "supports_websockets = true\n"


class Gemini(Agent):
    """Gemini CLI."""

    name = program = "gemini"
    dialect = "gemini"

    def command(self, prompt: str, *, again: bool) -> list[str]:
        more = ["--resume", "latest"] if again else []
        return ["-p", prompt, "-m", MODEL, "--output-format", "json", "--approval-mode", "yolo", *more]

    def settle(self, place: Place) -> dict[str, str]:
        folder = place.home / ".gemini"
        folder.mkdir(exist_ok=True)
        settings = {
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
            "telemetry": {"enabled": False},
            "privacy": {"usageStatisticsEnabled": False},
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        return {
            "GEMINI_API_KEY": place.key,
            "GOOGLE_GEMINI_BASE_URL": place.url,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        }

    def read(self, out: str) -> str:
        try:
            return str(json.loads(out[out.index("{") :])["response"])
        except (ValueError, KeyError):
            return ""

    def shell(self, command: str) -> tuple[str, str]:
        return "run_shell_command", json.dumps({"command": command, "description": "Runs it"})

    def write(self, path: Path, text: str) -> tuple[str, str]:
        return "write_file", json.dumps({"file_path": str(path), "content": text})

    def look(self, path: Path) -> tuple[str, str]:
        return "read_file", json.dumps({"file_path": str(path)})


class OpenCode(Agent):
    """opencode, through one of the protocols that it speaks."""

    program = "opencode"
    packages: ClassVar[dict[str, str]] = {
        "chat": "@ai-sdk/openai-compatible",
        "responses": "@ai-sdk/openai",
        "messages": "@ai-sdk/anthropic",
        "gemini": "@ai-sdk/google",
    }

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.name = f"opencode-{dialect}"
        self.keeps_ids = dialect != "gemini"

    def command(self, prompt: str, *, again: bool) -> list[str]:
        # It puts words with blanks into quotes.
        return ["run", "--format", "json", *(["--continue"] if again else []), *prompt.split(" ")]

    def settle(self, place: Place) -> dict[str, str]:
        url = place.url + ("/v1beta" if self.dialect == "gemini" else "/v1")
        provider = {
            "npm": self.packages[self.dialect],
            "options": {"baseURL": url, "apiKey": place.key},
            "models": {MODEL: {"attachment": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}},
        }
        settings = {
            "provider": {"gateway": provider},
            "model": f"gateway/{MODEL}",
            "small_model": f"gateway/{MODEL}",
            "permission": "allow",
            "autoupdate": False,
        }
        (place.work / "opencode.json").write_text(json.dumps(settings))
        names = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
        return {f"OPENCODE_DISABLE_{name}": "1" for name in names}

    def read(self, out: str) -> str:
        parts = [line["part"] for line in _lines(out) if line.get("type") == "text"]
        return str(parts[-1]["text"]) if parts and isinstance(parts[-1], dict) else ""

    def shell(self, command: str) -> tuple[str, str]:
        return "bash", json.dumps({"command": command, "description": "Runs it"})

    def write(self, path: Path, text: str) -> tuple[str, str]:
        return "write", json.dumps({"filePath": str(path), "content": text})

    def look(self, path: Path) -> tuple[str, str]:
        return "read", json.dumps({"filePath": str(path)})


AGENTS: Sequence[Agent] = (
    Claude(),
    Codex(),
    CodexSocket(),
    Gemini(),
    *(OpenCode(dialect) for dialect in OpenCode.packages),
)


def find(agent: Agent, folder: Path | None) -> str | None:
    """The agent's program in ``folder`` (or where npm puts it there) or on the PATH."""
    if folder is None:
        return shutil.which(agent.program)
    places = (folder, folder / "bin", folder / "node_modules" / ".bin")
    return shutil.which(agent.program, path=os.pathsep.join(map(str, places)))
