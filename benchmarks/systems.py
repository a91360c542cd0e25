"""The systems under test: how each is installed, configured and started in front of the upstream.

Each runs as one worker on one core, access log off, with what it does by default otherwise; where a default had to
give way, the reason stands beside it.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from build import BUILD, HERE, MissingError, environment, installed_version
from machine import process_tree
from workloads import OWN, PAIRS, Workload

KEY = "sk-bench"
SMG_REQUIREMENT = "smg==1.13.0"
LITELLM_REQUIREMENT = "litellm[proxy]==1.106.2"
STOP_TIMEOUT = 3.0  # seconds
START_TIMEOUT = 60.0  # seconds; LiteLLM imports for a good while


@dataclass(frozen=True, slots=True)
class Site:
    """Where a system is to be set up: its port, the port of the upstream and a directory of its own."""

    port: int
    upstream_port: int
    directory: Path

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"


@dataclass(frozen=True, slots=True)
class Launch:
    """How a system is started at a site."""

    command: list[str]
    version: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class System:
    """A system under test.

    `heavy` ones get the small loads. `pairs` are the translations it is asked for; those that do not `translate` pass
    such requests to an upstream that speaks the caller's dialect. `prefix` is the path below which it stands, `own` the
    path at which a host answers by itself, without the gateway. `hosted`: it is this gateway in a framework.
    """

    name: str
    title: str
    prepare: Callable[[Site], Launch]
    pairs: tuple[str, ...] = ("messages-chat",)
    translates: bool = True
    heavy: bool = False
    hosted: bool = False
    prefix: str = ""
    own: str = ""

    def carries(self, workload: Workload) -> bool:
        """Whether the system can be given the workload."""
        if workload.path == OWN:
            return bool(self.own)
        return not workload.pair or workload.pair in self.pairs


@dataclass(slots=True)
class Running:
    """A started system."""

    system: System
    version: str
    port: int
    process: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        return process_tree(self.process.pid)

    def pause(self) -> None:
        """Stops all its processes, so that a system that waits for its turn cannot disturb the one that is measured."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Asks it to end, so that it can bury its children, and ends what is left of the group."""
        with suppress(ProcessLookupError):
            self.resume()
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=STOP_TIMEOUT)
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def pinned(core: int, command: list[str]) -> list[str]:
    """The command, bound to one core together with all its threads and children."""
    return ["taskset", "-c", str(core), *command]


def start(system: System, upstream_port: int, core: int, probe: bytes) -> Running:
    """Starts a system and waits until it answers `probe`, a Chat Completions body. Raises MissingError."""
    directory = BUILD / "run" / system.name
    directory.mkdir(parents=True, exist_ok=True)
    site = Site(free_port(), upstream_port, directory)
    launch = system.prepare(site)
    log = directory / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, launch.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | launch.environment,
            start_new_session=True,  # makes it the leader of a process group of its own
        )
    running = Running(system, launch.version, site.port, process)
    try:
        wait_until_ready(running, probe, log)
    except BaseException:
        running.stop()
        raise
    return running


def wait_until_ready(running: Running, probe: bytes, log: Path) -> None:
    """Raises MissingError, with the end of the log, when the system ends or does not answer in time."""
    deadline = time.monotonic() + START_TIMEOUT
    while not (answer := answers(running, probe)).startswith("200"):
        if running.process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-1500:]
            raise MissingError(f"{running.system.title} did not start ({answer}); the end of its log:\n{tail}")
        time.sleep(0.2)


def answers(running: Running, body: bytes) -> str:
    """What a chat request gets now: the status, or the error in words."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{running.port}{running.system.prefix}/v1/chat/completions"
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read(200).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def prepare_asgi_llm(site: Site, settings: str = "") -> Launch:
    """With ``settings`` of its own, as TOML, or the usual ones."""
    project = HERE.parent
    recipe = (project / "pyproject.toml").read_text()
    bin_directory = environment("asgi-llm", ["-e", f"{project}[server]"], recipe)
    file = site.directory / "llm.toml"
    file.write_text(settings or GATEWAY_SETTINGS.format(site=site))
    command = [
        *(str(bin_directory / "asgi-llm"), "serve", str(file)),
        *("--host", "127.0.0.1", "--port", str(site.port)),
    ]
    return Launch(command, installed_version(bin_directory, "asgi-llm"), {"BENCH_KEY": KEY})


# Everything as it comes, but for the pool: 10,000 open streams must not queue for a connection.
GATEWAY_SETTINGS = """
default_target = "up"
routes = [{{ model = "claude", target = "anthropic" }}]

[targets.up]
provider = "openai_compatible"
base_url = "{site.upstream}/v1"
dialects = ["chat"]
pool = {{ max_connections = 12000 }}

[targets.anthropic]
provider = "anthropic"
base_url = "{site.upstream}"

[auth]
keys = [{{ key = "env://BENCH_KEY", subject = "bench" }}]
"""


def in_host(application: str) -> Callable[[Site], Launch]:
    """How the gateway is started in an application of `hosts/`, by uvicorn."""

    def prepare(site: Site) -> Launch:
        project = HERE.parent
        recipe = (project / "pyproject.toml").read_text()
        bin_directory = environment("hosts", ["-e", f"{project}[server,fastapi,litestar,django]"], recipe)
        command = [
            *(str(bin_directory / "uvicorn"), application, "--app-dir", str(HERE / "hosts")),
            *("--host", "127.0.0.1", "--port", str(site.port), "--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning"),
        ]
        variables = {"BENCH_KEY": KEY, "BENCH_UPSTREAM": site.upstream, "PYTHONPATH": str(project)}
        framework = application.partition(":")[0].rpartition("_")[2]
        name = framework if framework in ("fastapi", "litestar", "django") else "asgi-llm"
        return Launch(command, installed_version(bin_directory, name), variables)

    return prepare


def prepare_nginx(site: Site) -> Launch:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise MissingError("nginx is not installed (apt install nginx, dnf install nginx); it is left out")
    configuration = site.directory / "nginx.conf"
    configuration.write_text(NGINX_CONFIGURATION.format(site=site))
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
    version = re.search(r"nginx/(\S+)", said)
    command = [program, "-p", str(site.directory), "-c", str(configuration), "-e", "stderr"]
    return Launch(command, version.group(1) if version else "unknown")


# Buffering off because a stream must come through chunk by chunk; the request buffer is large enough to keep nginx
# from writing bodies to disk; without `keepalive` and HTTP/1.1 it would open a connection for every request.
NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 32768;
pid nginx.pid;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_body_temp_path body_temp;
    proxy_temp_path proxy_temp;
    fastcgi_temp_path fastcgi_temp;
    uwsgi_temp_path uwsgi_temp;
    scgi_temp_path scgi_temp;
    client_max_body_size 32m;
    client_body_buffer_size 1m;
    keepalive_requests 100000000;
    upstream up {{
        server 127.0.0.1:{site.upstream_port};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{site.port} backlog=4096;
        location / {{
            proxy_pass http://up;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def prepare_smg(site: Site) -> Launch:
    bin_directory = environment("smg", [SMG_REQUIREMENT])
    command = [
        *(str(bin_directory / "smg"), "launch", "--host", "127.0.0.1", "--port", str(site.port)),
        *("--worker-urls", site.upstream, "--policy", "round_robin"),
        *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()), "--log-level", "error"),
        # Its own choice for speed: nothing to retry on and nothing to queue for with a single worker.
        *("--disable-retries", "--disable-circuit-breaker", "--max-concurrent-requests", "-1"),
    ]
    return Launch(command, installed_version(bin_directory, "smg"))


def prepare_litellm(site: Site) -> Launch:
    bin_directory = environment("litellm", [LITELLM_REQUIREMENT])
    model = {"model": "hosted_vllm/bench", "api_base": f"{site.upstream}/v1", "api_key": "sk-upstream"}
    configuration = site.directory / "config.yaml"  # JSON is YAML
    configuration.write_text(
        json.dumps(
            {
                "model_list": [{"model_name": "bench", "litellm_params": model}],
                "general_settings": {"master_key": KEY},
            }
        )
    )
    command = [
        *(str(bin_directory / "litellm"), "--config", str(configuration), "--host", "127.0.0.1"),
        *("--port", str(site.port), "--num_workers", "1", "--telemetry", "False"),
    ]
    variables = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches a price list from the internet at start
        "LITELLM_LOG": "ERROR",
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
    }
    return Launch(command, installed_version(bin_directory, "litellm"), variables)


def _hosted(name: str, title: str, application: str, own: str = "") -> System:
    return System(name, title, in_host(application), hosted=True, prefix="/llm", own=own)


SYSTEMS = {
    system.name: system
    for system in (
        System("asgi-llm", "asgi-llm", prepare_asgi_llm, pairs=tuple(PAIRS)),
        System("nginx", "nginx", prepare_nginx, pairs=("messages-chat", "responses-chat"), translates=False),
        System("smg", "SMG", prepare_smg, translates=False),
        System("litellm", "LiteLLM proxy", prepare_litellm, heavy=True),
        _hosted("bare", "below a path", "bare:app"),
        _hosted("fastapi", "FastAPI, router", "in_fastapi:app", "/own"),
        _hosted("litestar", "Litestar, plugin", "in_litestar:app", "/own"),
        _hosted("intercept", "Django, intercept", "before_django:app"),
        _hosted("django", "Django, view", "in_django:app", "/own"),
    )
}
