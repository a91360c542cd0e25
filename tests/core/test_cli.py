"""The commands as somebody types them; those that serve, in processes of their own."""

import http.client
import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import asgi_llm
from asgi_llm.cli import main, reachable
from asgi_llm.providers.registry import PROVIDERS

SECONDS = 60
needs_server = pytest.mark.skipif(find_spec("uvicorn") is None, reason="uvicorn is not installed")
needs_demo = pytest.mark.skipif(
    find_spec("uvicorn") is None or find_spec("fastapi") is None or find_spec("asgi_llm_fastapi") is None,
    reason="FastAPI and uvicorn are not installed",
)

ECHO = """
[targets.echo]
provider = "echo"
"""
TWO = """
default_target = "echo"

[targets.echo]
provider = "echo"
dialects = ["chat"]
deny = ["secret-*"]

[targets.claude]
provider = "anthropic"
api_key = "env://SOME_KEY"
models = { fast = "claude-haiku-4-5" }
allow = ["claude-*"]

[[routes]]
model = "claude-*"
target = "claude"
fallback = ["echo"]

[[routes]]
model = "fast"
target = "claude"
"""


def environment(**more: str) -> dict[str, str]:
    keys = {provider.key_variable for provider in PROVIDERS.values()}
    kept = {name: value for name, value in os.environ.items() if name not in keys}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What a command says and returns. Where it serves nothing, in this process: a new one takes its time to begin."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(os, "environ", environment(**more))
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def run_apart(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "asgi_llm", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment(**more)
    )


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "llm.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


class Server:
    """A command that serves; what it printed so far."""

    def __init__(self, *arguments: str, **more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asgi_llm", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(**more),
        )
        self.said = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.said)) is None:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            piece = os.read(self.process.stdout.fileno(), 65536).decode() if ready else ""
            assert piece, f"it never said {pattern!r} but only: {self.said}"
            self.said += piece
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(SECONDS)


@contextmanager
def server(*arguments: str, **more: str) -> Iterator[Server]:
    running = Server(*arguments, **more)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def get(url: str, headers: dict[str, str] | None = None, body: Any = None) -> tuple[int, Any]:
    """Status and JSON of an answer. A server that listens but does not accept yet lets this wait."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


CHAT = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("how", [run, run_apart])
def test_version(how: Any) -> None:
    done = how("--version")
    assert (done.returncode, done.stdout) == (0, f"asgi-llm {asgi_llm.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [(), ("nonsense",), ("serve",), ("explain", "x.toml"), ("demo", "--port", "99999"), ("demo", "--port", "x")],
)
def test_wrong_usage_is_told_and_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: asgi-llm")


# check


def test_check_says_what_it_found(toml: Any) -> None:
    done = run("check", toml(TWO), SOME_KEY="sk-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ok: 2 targets, 2 routes",
        "  echo: echo, speaks chat",
        "  claude: anthropic, speaks messages",
        "  claude-* -> claude -> echo",
        "  fast -> claude",
        "  everything else -> echo",
    ]


def test_check_tells_every_problem_with_its_path(toml: Any) -> None:
    text = '[targets.a]\nprovider = "echo"\ncolour = 1\n[[routes]]\nmodel = "x y"\ntarget = "b"\n'
    done = run("check", toml(text))
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["targets.a.colour", "routes[0].model", "routes[0].target"]


def test_check_warns_of_secrets_in_the_file_without_showing_them(toml: Any) -> None:
    done = run("check", toml(TWO.replace("env://SOME_KEY", "sk-very-secret")))
    assert done.returncode == 0
    assert "warning: targets.claude.api_key" in done.stderr
    assert "sk-very-secret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("text", "said"), [("= broken", "is not TOML"), (None, "cannot be read"), (TWO, "SOME_KEY is not set")]
)
@pytest.mark.parametrize("command", ["check", "serve", "explain"])
def test_a_file_that_cannot_be_used_is_one_line_for_each_problem(
    toml: Any, tmp_path: Path, command: str, text: str | None, said: str
) -> None:
    path = str(tmp_path / "missing.toml") if text is None else toml(text)
    done = run(command, path, *(["--model", "m"] if command == "explain" else []))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


# explain


def explained(path: str, *arguments: str) -> tuple[int, str]:
    done = run("explain", path, *arguments, SOME_KEY="sk-1")
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_explain_shows_the_rung_and_each_leg(toml: Any) -> None:
    code, said = explained(toml(TWO), "--model", "claude-opus-4-6", "--dialect", "chat")
    assert code == 0
    assert said.splitlines() == [
        "model claude-opus-4-6, chat dialect",
        'the route "claude-*" matches',
        "  1. claude: anthropic, as claude-opus-4-6, translated to messages",
        "     worker https://api.anthropic.com/v1",
        "  2. echo (fallback): echo, as claude-opus-4-6, the caller's bytes pass as they are",
    ]


def test_explain_says_where_bytes_are_adapted_and_not_that_they_are_translated(toml: Any) -> None:
    settings = '[targets.engine]\nprovider = "openai_compatible"\nbase_url = "http://10.0.0.1/v1"\n'
    _, said = explained(toml(settings), "--model", "m", "--dialect", "chat")
    assert "as m, the caller's bytes pass, adapted where this server must have it so" in said


def test_explain_shows_the_upstreams_name_and_the_host_rung(toml: Any) -> None:
    path = toml(TWO)
    code, said = explained(path, "--model", "fast", "--dialect", "messages")
    assert code == 0
    assert "claude: anthropic, as claude-haiku-4-5, the caller's bytes pass as they are" in said
    code, said = explained(path, "--model", "anything", "--target", "echo")
    assert code == 0
    assert "the host application named the target" in said
    assert "no route matches, so the default target decides" in explained(path, "--model", "anything")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "secret-1"), '"secret-1" matches "secret-*" in deny'),
        (("--model", "gpt-5", "--target", "claude"), '"gpt-5" matches nothing in allow (claude-*)'),
        (("--model", "m", "--target", "nobody"), "refused with 500 unknown_target"),
        (("--model", ""), "refused with 400 model_required"),
    ],
)
def test_explain_says_why_not(toml: Any, arguments: tuple[str, ...], said: str) -> None:
    code, told = explained(toml(TWO), *arguments)
    assert code == 1
    assert said in told


@pytest.mark.parametrize("dialect", ["chat", "messages", "responses", "gemini"])
def test_explain_knows_what_every_caller_speaks(toml: Any, dialect: str) -> None:
    code, said = explained(toml(ECHO), "--model", "m", "--dialect", dialect)
    assert (code, said.splitlines()[0]) == (0, f"model m, {dialect} dialect")


def test_explain_for_programs(toml: Any) -> None:
    code, said = explained(toml(TWO), "--model", "secret-1", "--json")
    found = json.loads(said)
    assert (code, found["status"], found["code"], found["rung"]) == (1, 403, "model_not_permitted", "default")
    assert (found["legs"][0]["target"], found["legs"][0]["use"]) == ("echo", "never")


# serve


@needs_server
def test_serve_is_open_on_loopback_with_a_warning(toml: Any) -> None:
    with server("serve", toml(ECHO), "--port", "0") as running:
        url = running.wait_for(r"serving echo on (http://127\.0\.0\.1:\d+) ")[1]
        assert "warning: no keys are configured" in running.said
        status, answer = get(f"{url}/v1/chat/completions", body=CHAT)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hello")
        assert get(f"{url}/v1/models", {"host": "rebound.example.org"})[0] == 403
        assert get(f"{url}/v1/models", {"origin": "https://example.org"})[0] == 403
        assert running.stop() == 0


@needs_server
def test_serve_brings_its_own_protocol(toml: Any) -> None:
    """Which does not lose the body of a request that asks for HTTP/2 as well, as uvicorn's own does."""
    with server("serve", toml(ECHO), "--port", "0") as running:
        port = running.wait_for(r"serving echo on http://127\.0\.0\.1:(\d+) ")[1]
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
        upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AA"}
        connection.request("POST", "/v1/chat/completions", json.dumps(CHAT), upgrade)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["choices"][0]["message"]["content"]) == (200, "Hello")
        connection.close()
        assert running.stop() == 0


APP = """
from asgi_llm import Gateway

class shop:
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}})
"""


def test_a_command_may_be_about_an_applications_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As servers are told of an application: by its module and its name."""
    monkeypatch.setenv(
        "PYTHONPATH", f"{Path(asgi_llm.__file__).parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    )
    monkeypatch.chdir(tmp_path)
    Path("main.py").write_text(APP, encoding="utf-8")
    found = run("check", "main:shop.gateway")
    assert (found.returncode, found.stdout.splitlines()[0]) == (0, "ok: 1 target, 0 routes")
    for name, told in (
        ("main:gateway", '"gateway" of main is not there'),
        ("main:shop", '"shop" of main is no Gateway, but type'),
        ("nobody.main:gateway", 'there is no module "nobody" here'),
        ("llm.toml", "the file llm.toml cannot be read"),
        ("main", '"main" is no file; a gateway in Python is named as in shop.main:gateway'),
    ):
        missing = run("explain", name, "--model", "m")
        assert missing.returncode == 1
        assert told in missing.stderr


@needs_server
def test_serve_with_keys_asks_for_them(toml: Any) -> None:
    keys = '[[auth.keys]]\nkey = "env://SOME_KEY"\nsubject = "ci"\n'
    with server("serve", toml(ECHO + keys), "--port", "0", "--prefix", "/llm", SOME_KEY="k-1") as running:
        url = running.wait_for(r"serving echo on (http://127\.0\.0\.1:\d+/llm) ")[1]
        assert "warning: no keys" not in running.said
        assert get(f"{url}/v1/models")[0] == 401
        assert get(f"{url}/v1/models", {"authorization": "Bearer k-1", "host": "llm.example.org"})[0] == 200
        assert get(url.removesuffix("/llm") + "/v1/models", {"authorization": "Bearer k-1"})[0] == 404


@needs_server
def test_serve_reads_its_file_again_when_it_is_hung_up_on(toml: Any) -> None:
    keys = '[[auth.keys]]\nkey = "{}"\nsubject = "ci"\n'
    path = toml(ECHO + keys.format("k-1"))
    with server("serve", path, "--port", "0") as running:
        url = running.wait_for(r"serving echo on (http://127\.0\.0\.1:\d+) ")[1]
        models = f"{url}/v1/models"
        assert get(models, {"x-api-key": "k-1"})[0] == 200

        def reload(text: str, said: str) -> None:
            toml(text)
            running.process.send_signal(signal.SIGHUP)
            running.wait_for(said)

        reload(ECHO + keys.format("k-2"), r"the settings of \S+ are in force")
        assert [get(models, {"x-api-key": key})[0] for key in ("k-1", "k-2")] == [401, 200]
        reload(ECHO + "nonsense = 1\n", r"targets\.echo\.nonsense: .*\n.*stay as they were")
        reload(ECHO, r"no keys any more.*\n.*stay as they were")
        assert get(models, {"x-api-key": "k-2"})[0] == 200
        assert running.stop() == 0


@needs_server
def test_serve_does_not_open_itself_to_a_network(toml: Any) -> None:
    done = run_apart("serve", toml(ECHO), "--host", "0.0.0.0", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "auth.anonymous = true" in done.stderr


@needs_server
def test_serve_says_that_its_port_is_taken(toml: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_apart("serve", toml(ECHO), "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("cannot be listened on: Address already in use")


@needs_server
def test_serve_lets_a_running_stream_end(toml: Any) -> None:
    with server("serve", toml(ECHO), "--port", "0") as running:
        url = running.wait_for(r"serving echo on (http://127\.0\.0\.1:\d+) ")[1]
        said = "/delay 0.15\none two three four five"
        body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": said}]}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=SECONDS) as answer:
            answer.readline()
            running.process.send_signal(signal.SIGTERM)
            assert answer.read().endswith(b"data: [DONE]\n\n")
        running.process.wait(SECONDS)


# demo


@needs_demo
def test_what_the_demo_prints_works_when_pasted() -> None:
    with server("demo", "--port", "0") as running:
        running.wait_for(r"Models: .*\n")
        lines = running.said.splitlines()
        url = re.search(r"http://[0-9.:]+/", lines[0])
        assert url is not None
        page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url[0], timeout=SECONDS)
        with page:
            assert b"<h1>asgi-llm" in page.read()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        commands = [line for line in lines if line.startswith(("curl ", "python "))]
        assert len(commands) == 3
        expected = ['"content":"Hello"', "event: message_stop", "Hello"]
        for command, answer in zip(commands, expected, strict=True):
            if command.startswith("python") and find_spec("openai") is None:
                continue
            pasted = ["bash", "-c", command]
            done = subprocess.run(
                pasted, capture_output=True, text=True, check=False, timeout=60, env=environment(PATH=path)
            )
            assert done.returncode == 0, done.stderr
            assert answer in done.stdout
        assert running.stop() == 0


@needs_demo
def test_the_demo_takes_the_next_free_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with server("demo", "--port", str(port)) as running:
            found = running.wait_for(r"port (\d+) is taken, so this is port (\d+)")
            assert (int(found[1]), port < int(found[2]) < port + 20) == (port, True)
            running.wait_for(rf"Open http://127\.0\.0\.1:{found[2]}/")


@needs_demo
def test_the_demo_does_not_spend_keys_for_a_network() -> None:
    done = run_apart("demo", "--host", "0.0.0.0", "--port", "0", OPENAI_API_KEY="sk-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "unset OPENAI_API_KEY" in done.stderr


@needs_demo
def test_the_demo_uses_the_keys_that_are_there() -> None:
    with server("demo", "--port", "0", ANTHROPIC_API_KEY="sk-1", DEEPSEEK_API_KEY="sk-2") as running:
        assert running.wait_for(r"Models: (.*)\n")[1] == "the echo, and those of anthropic, deepseek."


def test_a_provider_is_reachable_with_its_key_where_it_has_an_address() -> None:
    assert reachable({}) == {}
    everything = {provider.key_variable: "k" for provider in PROVIDERS.values() if provider.key_variable}
    found = reachable(everything)
    assert {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MISTRAL_API_KEY", "OPENROUTER_API_KEY"} <= found.keys()
    assert "AZURE_OPENAI_API_KEY" not in found  # only its owner knows the address
    assert reachable({"XAI_API_KEY": " ", "GROQ_API_KEY": "k"}) == {"GROQ_API_KEY": PROVIDERS["groq"]}


def test_a_missing_server_is_told_with_the_command_that_installs_it(toml: Any, tmp_path: Path) -> None:
    """In an environment where importing it fails, as it does where it is not installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    for command, extra in ((["serve", toml(ECHO), "--port", "0"], "server"), (["demo", "--port", "0"], "demo")):
        done = run_apart(*command, PYTHONPATH=path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f'pip install "asgi-llm[{extra}]"' in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@needs_server
def test_a_host_that_does_not_resolve_is_one_line(toml: Any) -> None:
    text = ECHO + "[auth]\nanonymous = true\n"
    done = run_apart("serve", toml(text), "--host", "no-such-host.invalid", "--port", "0")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "no-such-host.invalid:0 cannot be listened on" in done.stderr
