"""What somebody gets who installs asgi-llm from its archives."""

import re
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


Install = Callable[[str], Environment]


@pytest.fixture(scope="session")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Makes a clean environment with the wheel and the extras named: ``installed("[demo]")``."""
    made: dict[str, Environment] = {}

    def install(extras: str) -> Environment:
        if extras not in made:
            folder = tmp_path_factory.mktemp("env")
            first = next(iter(made.values()), None)  # whose pip serves the others, too
            venv.create(folder, with_pip=first is None)
            made[extras] = Environment(folder)
            pip = ["python", "-m", "pip", "--python", made[extras].python, "install", "--quiet", "--no-compile"]
            done = (first or made[extras]).run(*pip, f"asgi-llm{extras} @ {archives.wheel.as_uri()}")
            assert done.returncode == 0, done.stdout + done.stderr
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

    def test_an_integration_without_its_framework_says_so(self, installed: Install) -> None:
        done = installed("").run("python", "-c", "import asgi_llm_fastapi")
        assert done.returncode == 1
        assert re.search(r'^ImportError: .*pip install "asgi-llm\[fastapi\]"', done.stderr, re.MULTILINE)


HOSTS = {
    "django": "from django.conf import settings; settings.configure(); import asgi_llm_django",
    "fastapi": "import asgi_llm_fastapi",
    "litestar": "import asgi_llm_litestar",
    "server": "import uvicorn",
    "sql": "import sqlalchemy, aiosqlite",
    "redis": "import redis",
    "http2": "import h2",
    "brotli": "import brotli",
}


@pytest.mark.parametrize("extra", HOSTS)
def test_each_extra_brings_what_it_is_for(installed: Install, extra: str) -> None:
    """And importing the core still imports none of it."""
    environment = installed(f"[{extra}]")
    done = environment.run("python", "-W", "error", "-c", HOSTS[extra])
    assert (done.returncode, done.stderr) == (0, "")
    script = "import asgi_llm, sys; print(sorted({'django', 'fastapi', 'litestar', 'starlette'} & sys.modules.keys()))"
    assert environment.run("python", "-c", script).stdout == "[]\n"


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
