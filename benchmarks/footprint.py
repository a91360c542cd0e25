"""What the gateway costs before anybody calls: CPU time to import it, memory that it takes in its host.

    python benchmarks/footprint.py [--rounds 10]

Each figure is the median of fresh processes. "Idle" is a gateway of three targets that has been started and waits.
Writes FOOTPRINT.md beside this file.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from build import HERE, MissingError, environment, say
from machine import description
from report import number, table

TIMED = "import time; began = time.process_time(); import {module}; print(time.process_time() - began)"
RESIDENT = "print(int(open('/proc/self/statm').read().split()[1]) * 4096)"
BARE = "import asyncio, pydantic, uvicorn, uvloop, httptools\n"
IDLE = """
from asgi_llm import Gateway
targets = {name: {"provider": name, "api_key": "sk-none"} for name in ("openai", "anthropic", "gemini")}
gateway = Gateway({"targets": targets, "default_target": "openai", "auth": {"anonymous": True}})
async def wait():
    async with gateway.running():
        await asyncio.sleep(0.1)
        RESIDENT
asyncio.run(wait())
"""


def said(python: Path, code: str, rounds: int) -> float:
    """The median of what fresh processes print that run `code`."""
    command = [str(python), "-W", "ignore", "-c", code]
    values = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(rounds + 1)]
    return median(values[1:])  # the first one compiles


def measured(rounds: int) -> list[list[str]]:
    project = HERE.parent
    python = environment("asgi-llm", ["-e", f"{project}[server]"], (project / "pyproject.toml").read_text()) / "python"
    whole = said(python, TIMED.format(module="asgi_llm"), rounds)
    parts = {name: said(python, TIMED.format(module=name), rounds) for name in ("pydantic", "msgspec", "asyncio")}
    bare = said(python, BARE + RESIDENT, rounds)
    idle = said(python, BARE + IDLE.replace("RESIDENT", RESIDENT), rounds)
    return [
        ["`import asgi_llm`, all that it needs included, ms", number(whole * 1000)],
        *([f"of which `import {name}` alone takes, ms", number(took * 1000)] for name, took in parts.items()),
        ["host without the gateway (uvicorn, uvloop, pydantic), MB resident", number(bare / 1e6)],
        ["the same with an idle gateway, MB resident", number(idle / 1e6)],
        ["the gateway, MB", number((idle - bare) / 1e6)],
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Import time and memory of an idle gateway.")
    parser.add_argument("--rounds", type=int, default=10, help="processes to take the median of (10)")
    parser.add_argument("--output", type=Path, default=HERE, help="directory for FOOTPRINT.md")
    given = parser.parse_args()
    try:
        rows = measured(given.rounds)
    except MissingError as missing:
        say(str(missing))
        return 1
    machine = description()
    text = f"{machine['date']}, {machine['processor']}, Python {machine['python']}.\n\n{table(['', ''], rows)}\n"
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "FOOTPRINT.md").write_text(f"# Before anybody calls\n\n{text}")
    say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
