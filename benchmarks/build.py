"""What the benchmark needs and does not find on the machine: two compiled C programs and a virtual environment for
each Python system. Everything lands in `benchmarks/.build` and is kept until its recipe changes."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / ".build"
COMPILER_FLAGS = ("-O2", "-Wall", "-Wextra")


class MissingError(Exception):
    """Something that only the user can install is not there; the message says what and how to get it."""


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(text, flush=True)


def run_quietly(command: list[str], purpose: str) -> None:
    """Runs a build step; its output is shown only when it fails. Raises MissingError."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if result.returncode:
        raise MissingError(f"{purpose} failed: {' '.join(command)}\n{result.stdout[-2000:]}")


def compiled(name: str) -> Path:
    """Path of the program compiled from `name`.c, compiled now if the source is newer. Raises MissingError."""
    program = BUILD / name
    sources = [HERE / f"{name}.c", *HERE.glob("*.h")]
    if program.exists() and all(source.stat().st_mtime <= program.stat().st_mtime for source in sources):
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingError("a C compiler is needed (gcc or cc on PATH) to build the upstream and the load driver")
    say(f"compiling {name}.c")
    BUILD.mkdir(exist_ok=True)
    run_quietly([compiler, *COMPILER_FLAGS, "-o", str(program), str(sources[0])], f"compiling {name}.c")
    return program


def environment(name: str, requirements: list[str], recipe_text: str = "") -> Path:
    """The `bin` directory of a virtual environment that holds `requirements`. It is made anew when these, the Python
    or `recipe_text` have changed. Raises MissingError."""
    home = BUILD / name
    recipe = home / "recipe.txt"
    wanted = "\n".join([sys.version, *requirements, recipe_text])
    if recipe.exists() and recipe.read_text() == wanted:
        return home / "bin"
    say(f"installing {' '.join(requirements)} into {home.relative_to(HERE.parent)} (this may take minutes)")
    shutil.rmtree(home, ignore_errors=True)
    own = str(home / "bin" / "python")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    run_quietly([sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(home)], f"making {name}")
    installer = [uv, "pip", "install", "--python", own] if uv else [own, "-m", "pip", "install"]
    run_quietly([*installer, *requirements], f"installing {name}")
    recipe.write_text(wanted)
    return home / "bin"


def installed_version(bin_directory: Path, distribution: str) -> str:
    """Version of a distribution in an environment made by `environment`, "unknown" if it does not say."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    result = subprocess.run([bin_directory / "python", "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
