"""Settings for all tests, and the servers that several rooms need. Other fixtures live beside the tests that need them.

A server runs from its first use to the end of the session, on a free port, with a folder of its own. Where its program
is missing the tests that need it are skipped, and fail where CI is set.
"""

import datetime as dt
import gc
import inspect
import ipaddress
import multiprocessing
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

BRIEF, DEEP = "ASGI_LLM_BRIEF" in os.environ, "ASGI_LLM_DEEP" in os.environ
EXAMPLES = 10 if BRIEF else 500 if DEEP else 50
# Time limits on single examples say more about the machine than about the code. CI repeats itself, a laptop explores.
settings.register_profile("asgi-llm", deadline=None, derandomize="CI" in os.environ, max_examples=EXAMPLES)
settings.load_profile("asgi-llm")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where ``ASGI_LLM_BRIEF`` is set, leaves out what another environment tries and no version of Python changes: what
    is marked ``once``, and what needs a server of its own."""
    if BRIEF:
        left_out = [item for item in items if _is_repetition(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_repetition(item: pytest.Item) -> bool:
    if item.get_closest_marker("once") is not None:
        return True
    servers = {"postgres_server", "postgres_url", "redis_server", "redis_url", "redis_cluster_url"}
    given: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    return not servers.isdisjoint(getattr(item, "fixturenames", ())) or any(
        kind in {"postgresql", "redis", "redis cluster", *servers} for kind in given.values() if isinstance(kind, str)
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What a failed test left open is closed here: it must not fail the test in whose time it happens to be found."""
    failed = item.session.testsfailed
    done = yield
    if item.session.testsfailed > failed:
        sys.last_exc = sys.last_value = sys.last_traceback = None  # they keep its frames
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
    return done


def program(name: str, *folders: str) -> str:
    """The path of a program; without it the test is skipped."""
    for found in (shutil.which(name), *(shutil.which(name, path=folder) for folder in folders)):
        if found:
            return found
    if "CI" in os.environ:
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


def port_for_a_program() -> int:
    """A port that nobody has, nor gets before the program listens there: the system gives away only higher ones."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Gives ports for programs that cannot choose one themselves."""
    return port_for_a_program


class Server:
    """A program that listens on a port of its own: started, stopped and started again with the same data."""

    def __init__(self, command: Callable[[Path, int], list[str]], user: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="asgi-llm-test-"))
        self.user = user
        if user is not None:
            shutil.chown(self.folder, user)
        self.port = port_for_a_program()
        self._command = command(self.folder, self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, user=self.user, cwd=self.folder)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{self._command[0]} did not start: {(self.folder / 'log').read_text()[-2000:]}")
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(2)  # PostgreSQL waits for its clients after any milder one
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """A PostgreSQL server. It refuses to be run by root, so root runs it as its own user."""

    def __init__(self) -> None:
        folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        postgres, initdb = program("postgres", *folders), program("initdb", *folders)
        super().__init__(
            lambda folder, port: [
                postgres, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder),
                "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=300",
            ],
            "postgres" if os.getuid() == 0 else None,
        )  # fmt: skip
        command = [initdb, "-D", str(self.folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, user=self.user, cwd=self.folder, timeout=120)
        self._psql = program("psql", *folders)

    def run(self, statement: str, database: str = "postgres") -> str:
        """What ``statement`` says, by the server's own client."""
        command = [self._psql, "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-At", "-c", statement]
        done = subprocess.run([*command, database], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:  # it listens before it is ready
            try:
                self.run("SELECT 1")
            except subprocess.CalledProcessError:
                time.sleep(0.05)
            else:
                return
        pytest.fail("PostgreSQL did not get ready")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server; whoever stops it starts it again."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """An empty PostgreSQL database."""
    return postgres_server.new_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty SQLite database."""
    return f"sqlite:///{tmp_path / 'llm.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def sql_url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind, for tests that run on both."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    """A Redis server; whoever stops it starts it again, empty."""
    redis = program("redis-server")
    server = Server(lambda _, port: [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""])
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_url(redis_server: Server) -> str:
    """A Redis database. It is the same one for all tests: they keep apart by the prefix of their keys."""
    return f"redis://127.0.0.1:{redis_server.port}/0"


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """A cluster of three Redis servers, shared by all tests as the one Redis is."""
    redis, cli = program("redis-server"), program("redis-cli")

    def command(folder: Path, port: int) -> list[str]:
        with socket.socket() as probe:  # the usual port of its bus, 10,000 higher, may be none
            probe.bind(("127.0.0.1", 0))
            bus = probe.getsockname()[1]
        options = {"port": port, "bind": "127.0.0.1", "save": "", "dir": folder, "cluster-enabled": "yes",
                   "cluster-port": bus, "cluster-node-timeout": 60_000}  # fmt: skip
        return [redis, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    nodes = [Server(command) for _ in range(3)]
    try:
        for node in nodes:
            node.start()
        places = [f"127.0.0.1:{node.port}" for node in nodes]
        join = [cli, "--cluster", "create", *places, "--cluster-yes"]
        subprocess.run(join, check=True, capture_output=True, timeout=60)
        yield f"redis+cluster://{places[0]}"
    finally:
        for node in nodes:
            node.remove()


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> SpawnContext:
    """What starts processes that run functions of test modules."""
    # They are told this path. The folder comes last, so that it is the installed wheel that is tested there, too.
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[1])])
    return multiprocessing.get_context("spawn")


class Authority:
    """Issues certificates as PEM text. What makes them is loaded only where a test needs one."""

    def __init__(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = self._named("test authority")
        usage = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False) | {"key_cert_sign": True}
        self.pem = self._sign(self._name, self._key, [(x509.KeyUsage(**usage), True)], ca=True)

    def another(self) -> "Authority":
        """One that has nothing to do with this one."""
        return Authority()

    def issue(self, host: str, *, password: bytes | None = None) -> tuple[str, str]:
        """A certificate for a name or an address, and its key."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        try:
            alternative: Any = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        certificate = self._sign(self._named(host), key, [(x509.SubjectAlternativeName([alternative]), False)])
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        return certificate, pem.decode()

    def serving(self, folder: Path, host: str = "127.0.0.1", clients: str | None = None) -> ssl.SSLContext:
        """What a server at ``host`` serves with; with ``clients``, the certificates of who issues theirs, only to
        those that show one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain(folder, host))
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=clients)
        return context

    def chain(self, folder: Path, host: str = "127.0.0.1") -> Path:
        """A file with a new certificate for ``host`` and its key."""
        file = folder / f"{uuid.uuid4().hex}.pem"
        file.write_text("".join(self.issue(host)))
        return file

    def _named(self, name: str) -> Any:
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def _sign(self, subject: Any, key: Any, more: list[tuple[Any, bool]], *, ca: bool = False) -> str:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        now, public = dt.datetime.now(dt.UTC), key.public_key()
        builder = x509.CertificateBuilder(self._name, subject, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        for extension, critical in [
            (x509.BasicConstraints(ca=ca, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
            *more,
        ]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()
