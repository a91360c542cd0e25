"""What somebody gets who installs asgi-llm from its archives."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ["asgi_llm", "asgi_llm_django", "asgi_llm_fastapi", "asgi_llm_litestar"]


class Archives(NamedTuple):
    sdist: Path
    wheel: Path


class Environment(NamedTuple):
    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment, away from the source tree."""
        program = str(self.folder / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]], cwd=self.folder, capture_output=True, text=True, check=False, timeout=600
        )


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """The wheel is built from the source archive, so that one cannot lack what the other needs."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Archives(sdist, wheel)


Install = Callable[..., Environment]


def succeed(*command: str, **more: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Makes a clean environment with the wheel and the extras named: ``installed("[demo]")``. By pip, as users do, or
    with ``fast`` by uv, which does the same in a tenth of the time."""
    made: dict[str, Environment] = {}
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

    def install(extras: str, *, fast: bool = False) -> Environment:
        if extras not in made:
            folder = tmp_path_factory.mktemp("env")
            made[extras] = Environment(folder)
            wanted = f"asgi-llm{extras} @ {archives.wheel.as_uri()}"
            if fast and uv:
                for command in (["venv", "--python", sys.executable, folder], ["pip", "install", wanted]):
                    succeed(uv, "--quiet", *map(str, command), VIRTUAL_ENV=str(folder))
            else:
                venv.create(folder, with_pip=True)
                succeed(made[extras].python, "-m", "pip", "install", "--quiet", "--no-compile", wanted)
        return made[extras]

    return install


def sources() -> set[str]:
    """Every file of the packages in the source tree, named as in the wheel."""
    return {
        str(path.relative_to(parent))
        for parent in (ROOT, ROOT / "integrations")
        for name in PACKAGES
        for path in (parent / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(archives: Archives) -> None:
    found = {name for name in contents(archives.wheel) if ".dist-info/" not in name}
    assert found == sources()
    assert {f"{name}/py.typed" for name in PACKAGES} <= found
    assert "asgi_llm_fastapi/demo.html" in found


def test_the_wheel_is_for_every_platform(archives: Archives) -> None:
    assert archives.wheel.name == f"asgi_llm-{PROJECT['version']}-py3-none-any.whl"


def test_the_metadata_says_what_the_project_says(archives: Archives) -> None:
    with zipfile.ZipFile(archives.wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Name"] == "asgi-llm"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert sorted(metadata.get_all("Provides-Extra", [])) == sorted(PROJECT["optional-dependencies"])
    assert "# asgi-llm" in metadata.get_payload()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents(archives.wheel))


def test_the_source_archive_has_what_its_tests_need(archives: Archives) -> None:
    with tarfile.open(archives.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "tox.ini"}
    wanted |= {
        "tests/conftest.py",
        "tests/core/test_levels.py",
        "docs/testing.md",
        "integrations/asgi_llm_fastapi/router.py",
    }
    assert wanted <= names
    assert [name for name in names if "__pycache__" in name or name.startswith((".tox", ".venv", ".git/"))] == []


WHERE = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""


class TestWithoutExtras:
    def test_it_is_imported_from_where_it_was_installed(self, installed: Install) -> None:
        environment = installed("")
        done = environment.run("python", "-W", "error", "-c", WHERE, "asgi_llm", "asgi_llm.testing", "asgi_llm.cli")
        assert (done.returncode, done.stderr) == (0, "")
        assert all("site-packages" in line and str(environment.folder) in line for line in done.stdout.splitlines())

    def test_the_command_tells_its_version(self, installed: Install) -> None:
        for command in (["asgi-llm"], ["python", "-m", "asgi_llm"]):
            done = installed("").run(*command, "--version")
            assert (done.returncode, done.stdout) == (0, f"asgi-llm {PROJECT['version']}\n")

    @pytest.mark.parametrize(
        ("arguments", "extra"), [(["demo"], "demo"), (["serve", "llm.toml"], "server")], ids=["demo", "serve"]
    )
    def test_what_needs_an_extra_says_which_one(self, installed: Install, arguments: list[str], extra: str) -> None:
        environment = installed("")
        (environment.folder / "llm.toml").write_text('[targets.echo]\nprovider = "echo"\n')
        done = environment.run("asgi-llm", *arguments)
        assert done.returncode == 1
        assert f'pip install "asgi-llm[{extra}]"' in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("name", ["django", "fastapi", "litestar"])
    def test_an_integration_without_its_framework_says_so(self, installed: Install, name: str) -> None:
        done = installed("").run("python", "-c", f"import asgi_llm_{name}")
        assert done.returncode == 1
        assert re.search(rf'^ImportError: .*pip install "asgi-llm\[{name}\]"', done.stderr, re.MULTILINE)


BROUGHT = {
    "django": "from django.conf import settings; settings.configure(); import asgi_llm_django",
    "fastapi": "import asgi_llm_fastapi",
    "litestar": "import asgi_llm_litestar",
    "server": "import uvicorn, uvloop",
    "http2": "import h2, socksio",
    "zstd": "import sys; __import__('compression.zstd' if sys.version_info >= (3, 14) else 'backports.zstd')",
    "brotli": "import brotli",
    "sql": "import sqlalchemy, aiosqlite",
    "postgres": "import sqlalchemy, asyncpg",
    "prices": "import genai_prices",
    "encryption": "import cryptography",
    "redis": "import redis",
    "mcp": "import mcp",
    "pii": "import phonenumbers, stdnum",
    "prometheus": "import prometheus_client",
    "otel": "import opentelemetry",
    "demo": "import asgi_llm_fastapi, uvicorn",
}
HEAVY = (
    "{'django', 'fastapi', 'litestar', 'starlette', 'httpx', 'uvicorn', 'sqlalchemy', 'redis', 'mcp', 'cryptography'}"
)


def test_no_extra_is_forgotten_here() -> None:
    assert BROUGHT.keys() == PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("extra", BROUGHT)
def test_each_extra_brings_what_it_is_for(installed: Install, extra: str) -> None:
    """And importing the core still imports none of it."""
    environment = installed(f"[{extra}]", fast=True)
    script = f"import asgi_llm, sys; print(sorted({HEAVY} & sys.modules.keys()))"
    done = environment.run("python", "-W", "error", "-c", f"{script}\n{BROUGHT[extra]}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("extra", "version", "told"),
    [
        ("fastapi", "0.120.4", "needs FastAPI 0.121 or newer; this is 0.120.4"),
        ("litestar", "2.18.0", "needs Litestar 2.19 or newer; this is 2.18.0"),
        ("django", "5.1.15", "needs Django 5.2 or newer; this is 5.1.15"),
    ],
)
def test_a_host_that_is_too_old_is_told_in_one_sentence(
    installed: Install, tmp_path: Path, extra: str, version: str, told: str
) -> None:
    """Where somebody has installed one beside what the extra asks for."""
    package = tmp_path / extra
    package.mkdir()
    major, minor, patch = version.split(".")
    (package / "__init__.py").write_text(STAND_IN.format(version=version, major=major, minor=minor, patch=patch))
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import asgi_llm_{extra}"
    done = installed("").run("python", "-c", script)
    assert done.stderr.splitlines()[-1] == f"ImportError: asgi_llm_{extra} {told}"


STAND_IN = """
class Version(str):
    major, minor, patch = {major}, {minor}, {patch}
    def formatted(self):
        return str(self)

__version__ = Version("{version}")
VERSION = ({major}, {minor}, {patch}, "final", 0)
def get_version():
    return __version__
"""


class TestWithTheDemo:
    def test_the_integration_is_imported_and_typed(self, installed: Install) -> None:
        done = installed("[demo]").run("python", "-c", WHERE, "asgi_llm_fastapi", "asgi_llm_fastapi.demo", "uvicorn")
        assert done.returncode == 0, done.stderr
        assert all("site-packages" in line for line in done.stdout.splitlines())

    def test_the_page_is_there_and_the_gateway_answers(self, installed: Install) -> None:
        done = installed("[demo]").run("python", "-c", DEMO)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["200", "text/html;", "charset=utf-8", "200", "Hello"]


DEMO = """
import asyncio, httpx
from asgi_llm import Settings
from asgi_llm_fastapi.demo import create_app, settings

async def main():
    app = create_app(Settings.load(settings({})))
    async with app.router.lifespan_context(app), httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
    ) as client:
        page = await client.get("/")
        print(page.status_code, page.headers["content-type"])
        body = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
        answer = await client.post("/llm/v1/chat/completions", json=body)
        print(answer.status_code, answer.json()["choices"][0]["message"]["content"])

asyncio.run(main())
"""
