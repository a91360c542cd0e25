"""Who may import whom. The rooms of the package stand on levels, and a module imports from lower levels only.

Read from the source, so that an import inside a function counts like any other; what stands under ``TYPE_CHECKING``
does not run and does not count.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import asgi_llm

PACKAGE = Path(asgi_llm.__file__).parent
INTEGRATIONS = ("asgi_llm_django", "asgi_llm_fastapi", "asgi_llm_litestar")

LEVELS = {
    "errors": 0,
    "types": 0,
    "identity": 1,
    "neutral": 1,
    "settings": 2,
    "dialects": 3,
    "metering": 3,
    "routing": 3,
    "stores": 3,
    "telemetry": 3,
    "providers": 4,
    "upstream": 4,
    "fleet": 5,
    "guards": 5,
    "hooks": 5,
    "keys": 5,
    "quotas": 5,
    "lookout": 5,
    "exchange": 6,
    "history": 6,
    "hosted": 6,
    "pipeline": 6,
    "runtime": 6,
    "asgi": 7,
    "client": 7,
    "dashboard": 7,
    "doctor": 7,
    "endpoints": 7,
    "explain": 7,
    "lossiness": 7,
    "openapi": 7,
    "report": 7,
    "server": 7,
    "": 8,
    "__main__": 8,
    "cli": 8,
    "foundation": 8,
    "gateway": 8,
    "keys_command": 8,
    "source": 8,
    "usage_command": 8,
    "testing": 8,
}
"""Room -> level; "" is the package itself, with its public names."""

SIBLINGS = {
    ("asgi", "endpoints"): "the edge finds the endpoint of a path",
    ("asgi", "dashboard"): "the edge answers with the page",
    ("metering", "routing"): "prices hold for globs, like routes",
    ("stores", "metering"): "the ledger keeps the rows that metering defines",
    ("doctor", "asgi"): "asks for what the edge's own endpoint says",
    ("openapi", "endpoints"): "the schema describes the endpoints",
    ("guards", "hooks"): "a guard is a hook that is made of settings",
    ("history", "exchange"): "what is remembered goes into a request and comes out of its answer",
    ("history", "pipeline"): "a conversation is fitted to each leg of the plan",
    ("history", "runtime"): "it belongs to the loop's runtime, and tidies up in tasks of it",
    ("hosted", "exchange"): "what the gateway runs for a request belongs to its exchange",
    ("hosted", "pipeline"): "looks at the plan, and fits the request to each leg of it",
    ("hosted", "runtime"): "sessions with servers live in tasks of the loop's runtime",
    ("pipeline", "exchange"): "every step works on the exchange",
    ("pipeline", "runtime"): "every step runs within the loop's runtime",
    ("", "gateway"): "public name",
    ("gateway", "foundation"): "what it is made of",
    ("__main__", "cli"): "the same command",
    ("cli", ""): "works with the public names, as a user would",
    ("cli", "gateway"): "serves a gateway",
    ("cli", "keys_command"): "one of its commands",
    ("cli", "usage_command"): "one of its commands",
    ("cli", "source"): "finds what a command is about",
    ("keys_command", "gateway"): "issues keys through a gateway",
    ("keys_command", "source"): "finds what it is about",
    ("usage_command", "source"): "finds what it is about",
    ("source", "gateway"): "makes one, or finds one that an application has",
}
"""Rooms on one level of which the first may import the second, and why."""

MODULE_SIBLINGS = {
    ("asgi_llm.providers.echo.client", "asgi_llm.upstream.interface"): "the echo is its own upstream client",
}
"""The same for single modules, where the rest of the room may not."""

FRAMEWORKS = frozenset({"django", "fastapi", "litestar", "sanic", "quart", "starlette", "uvicorn"})
HTTPX_ROOMS = (
    "asgi_llm.upstream.httpx", "asgi_llm.testing", "asgi_llm.client.transport", "asgi_llm.doctor.probe",
    "asgi_llm.upstream.mcp",  # the official client of MCP works with httpx2
)  # fmt: skip
DIALECTS = ("chat", "messages", "responses", "gemini")
OPEN_TO_INTEGRATIONS = frozenset(
    {
        # what a host's admin shows and does by itself
        "asgi_llm.history.vault",
        "asgi_llm.keys.issue",
        "asgi_llm.keys_command",
        "asgi_llm.usage_command",
        "asgi_llm.quotas.budgets",
        "asgi_llm.quotas.rules",
        # what the stores of a host are made of
        "asgi_llm.metering.row",
        *(
            f"asgi_llm.stores.{name}"
            for name in ("host", "keys", "ledger", "owner", "quotas", "responses", "scope", "signatures")
        ),
        "asgi_llm",
        "asgi_llm.cli",
        "asgi_llm.client.bridge",
        "asgi_llm.client.thread",
        "asgi_llm.endpoints",
        "asgi_llm.errors",
        "asgi_llm.hooks",
        "asgi_llm.identity",
        "asgi_llm.openapi",
        "asgi_llm.settings",
        "asgi_llm.types",
    }
)
"""What an integration may know of the core: the public names and documented modules."""


class Import(NamedTuple):
    module: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    return named_files(PACKAGE)


def named_files(package: Path) -> dict[str, Path]:
    return {module_name(package, path): path for path in sorted(package.rglob("*.py"))}


def module_name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package that can run."""
    return tuple(found for name, path in modules().items() for found in imports_of(name, path, modules()))


def imports_of(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    for node, lazy in running(ast.parse(path.read_text(encoding="utf-8"))):
        for target in targets(name, path, node, known):
            yield Import(name, target, node.lineno, lazy)


def running(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The import statements below ``tree`` that are not for type checkers only, and whether they run late."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for node in child.orelse:
                yield from running(ast.Module([node], []), lazy)
        else:
            yield from running(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def targets(name: str, path: Path, node: ast.Import | ast.ImportFrom, known: dict[str, Path]) -> Iterator[str]:
    """The full names of what ``node`` imports: submodules where a name is one, else the module it is taken from."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        above = package[: len(package) - node.level + 1]
        base = ".".join([*above, *base.split(".")] if base else above)
    for alias in node.names:
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def inner() -> list[Import]:
    """Imports of the package's own modules."""
    return [found for found in imports() if found.target.split(".")[0] == "asgi_llm"]


def listed(found: list[Import]) -> str:
    return "\n".join(map(str, found))


def test_every_room_has_a_level() -> None:
    assert {room(name) for name in modules()} <= LEVELS.keys()


def test_nothing_imports_upwards() -> None:
    wrong = [found for found in inner() if LEVELS[room(found.target)] > LEVELS[room(found.module)]]
    assert not wrong, listed(wrong)


def test_rooms_on_one_level_leave_each_other_alone() -> None:
    wrong = [
        found
        for found in inner()
        if (here := room(found.module)) != (there := room(found.target))
        and LEVELS[here] == LEVELS[there]
        and (here, there) not in SIBLINGS
        and (found.module, found.target) not in MODULE_SIBLINGS
    ]
    assert not wrong, listed(wrong)


def test_no_listed_exception_is_out_of_use() -> None:
    """An exception that nobody needs any more is an open door."""
    rooms = {(room(found.module), room(found.target)) for found in inner()}
    present = {room(name) for name in modules()}
    assert {pair for pair in SIBLINGS if set(pair) <= present} <= rooms
    assert MODULE_SIBLINGS.keys() <= {(found.module, found.target) for found in inner()}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found in inner():
        graph[found.module].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_only_the_registry_knows_the_dialects() -> None:
    """They never import each other, they meet in the neutral model; everybody else takes them from the registry.
    Only the short cuts between two of them know both."""
    wrong = [
        found
        for found in inner()
        for dialect in DIALECTS
        if f"{found.target}.".startswith(home := f"asgi_llm.dialects.{dialect}.")
        and not f"{found.module}.".startswith(home)
        and found.module != "asgi_llm.dialects.registry"
        and not found.module.startswith("asgi_llm.dialects.direct.")
    ]
    assert not wrong, listed(wrong)


def test_dialects_and_routing_do_no_io() -> None:
    """They are pure: bytes and values in, bytes and values out; no loop, no socket, no log."""
    forbidden = {"asyncio", "logging", "socket", "ssl", "threading", "subprocess"}
    allowed = {("asgi_llm.dialects.peek", "threading")}  # threading.local only
    wrong = [
        found
        for found in imports()
        if room(found.module) in {"dialects", "routing", "neutral"}
        and found.target.split(".")[0] in forbidden
        and (found.module, found.target) not in allowed
    ]
    assert not wrong, listed(wrong)


def test_the_core_imports_no_framework() -> None:
    wrong = [found for found in imports() if found.target.split(".")[0] in {*FRAMEWORKS, *INTEGRATIONS}]
    assert not wrong, listed(wrong)


def test_httpx_stays_behind_its_module() -> None:
    """The second client is one module, so that it can be exchanged; the test kit asks for it when it is needed."""
    wrong = [
        found
        for found in imports()
        if found.target.split(".")[0] in {"httpx", "httpx2"} and not found.module.startswith(HTTPX_ROOMS)
    ]
    eager = [
        found
        for found in imports()
        if found.target.split(".")[0] in {"httpx", "httpx2"} and room(found.module) == "testing" and not found.lazy
    ]
    assert not wrong, listed(wrong)
    assert not eager, listed(eager)
    early = [found for found in inner() if found.target == "asgi_llm.upstream.httpx" and not found.lazy]
    assert not early, listed(early)


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_integrations_know_the_public_core_and_never_each_other(name: str) -> None:
    folder = next((Path(entry, name) for entry in sys.path if Path(entry, name).is_dir()), None)
    folder = folder or PACKAGE.parent / "integrations" / name
    files = named_files(folder)
    assert name in files
    wrong = []
    for module, path in files.items():
        for found in imports_of(module, path, files | modules()):
            top = found.target.split(".")[0]
            if (top == "asgi_llm" and found.target not in OPEN_TO_INTEGRATIONS) or top in set(INTEGRATIONS) - {name}:
                wrong.append(found)
    assert not wrong, listed(wrong)


BARE = """
import sys

touched = []
sys.addaudithook(lambda event, args: touched.append(event) if event.startswith("socket.") else None)

import asgi_llm

gateway = asgi_llm.Gateway({
    "targets": {"openai": {"provider": "openai", "api_key": "secret"}, "echo": {"provider": "echo"}},
    "default_target": "echo",
})
asgi_llm.LLMMiddleware(gateway.asgi, gateway, prefix="/llm")
unwanted = {"django", "fastapi", "litestar", "starlette", "uvicorn", "httpx", "httpx2", "anyio", "asgi_llm.testing",
            "sqlalchemy", "aiosqlite", "asyncpg", "genai_prices", "prometheus_client", "opentelemetry",
            "asgi_llm_django", "asgi_llm_fastapi", "asgi_llm_litestar"}
print(sorted(unwanted & sys.modules.keys()), touched)
"""


def test_importing_and_building_a_gateway_is_quiet() -> None:
    """No framework, no httpx and no socket before there is an event loop: safe at import time and before a fork."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", BARE], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.stdout.strip(), done.stderr) == ("[] []", "")
