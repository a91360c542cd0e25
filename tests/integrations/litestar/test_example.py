"""The example as its README has it: a server on a socket, the official SDKs as clients."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("litestar")
pytest.importorskip("uvicorn")

import anthropic
import openai

FOLDER = Path(__file__).parents[3] / "example_apps" / "litestar_app"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("litestar") / "log"
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    command = [sys.executable, "-m", "litestar", "--app-dir", str(FOLDER), "--app", "app:app", "run", "--port", "0"]
    with log.open("wb") as output, subprocess.Popen(command, stderr=output, stdout=output, env=environment) as running:
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"running on (http://\S+)", log.read_text())):
                assert running.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            yield found[1]
        finally:
            running.terminate()
    assert "Traceback" not in log.read_text()


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        yield client


def log_in(http: httpx.Client, name: str) -> str:
    answer = http.post("/login", json={"name": name, "password": f"{name}'s password"})
    token: str = answer.raise_for_status().json()["token"]
    return token


def test_the_openai_sdk(address: str, http: httpx.Client) -> None:
    with openai.OpenAI(base_url=f"{address}/llm/v1", api_key=log_in(http, "ann")) as client:
        whole = client.chat.completions.create(model="echo", messages=HELLO)
        assert whole.choices[0].message.content == "Hello there"
        stream = client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello there"


def test_the_anthropic_sdk(address: str, http: httpx.Client) -> None:
    with (
        anthropic.Anthropic(base_url=f"{address}/llm", auth_token=log_in(http, "ann")) as client,
        client.messages.stream(model="echo", max_tokens=100, messages=HELLO) as stream,
    ):
        assert "".join(stream.text_stream) == "Hello there"


def test_who_may_not_is_told_so(address: str, http: httpx.Client) -> None:
    with (
        openai.OpenAI(base_url=f"{address}/llm/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="log in at /login first"),
    ):
        client.chat.completions.create(model="echo", messages=HELLO)
    with (
        anthropic.Anthropic(base_url=f"{address}/llm", auth_token=log_in(http, "eve"), max_retries=0) as claude,
        pytest.raises(anthropic.PermissionDeniedError, match="your plan has no models"),
    ):
        claude.messages.create(model="echo", max_tokens=100, messages=HELLO)


def test_each_users_requests_are_counted(http: httpx.Client) -> None:
    bob = {"authorization": f"Bearer {log_in(http, 'bob')}"}
    assert http.get("/usage", headers=bob).json() == {"requests": 0, "tokens": 0}
    assert http.post("/llm/v1/chat/completions", json={"model": "echo", "messages": HELLO}, headers=bob).is_success
    assert http.get("/usage", headers=bob).json() == {"requests": 1, "tokens": 4}
    assert http.get("/usage").status_code == 401


def test_the_commands_of_the_readme(address: str) -> None:
    """As they stand there, but for the port."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    script = text.split("Log in and ask:")[1].split("The same from Python:")[0]
    script = script.replace("localhost:8000", address.removeprefix("http://"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stderr
    answer, end = json.JSONDecoder().raw_decode(done.stdout)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert json.loads(done.stdout[end:])["requests"] >= 1


def test_it_stays_small() -> None:
    assert len((FOLDER / "app.py").read_text(encoding="utf-8").splitlines()) < 150
