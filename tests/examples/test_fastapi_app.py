"""The example as its README has it: uvicorn on a socket, the official SDKs as clients."""

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

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import anthropic
import openai

FOLDER = Path(__file__).parents[2] / "example_apps" / "fastapi_app"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("uvicorn") / "log"
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    command = [sys.executable, "-W", "error", "-m", "uvicorn", "app:app", "--port", "0", "--app-dir", str(FOLDER)]
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


@pytest.fixture
def ann(http: httpx.Client) -> str:
    return log_in(http, "ann")


def test_the_openai_sdk(address: str, ann: str) -> None:
    with openai.OpenAI(base_url=f"{address}/llm/v1", api_key=ann) as client:
        whole = client.chat.completions.create(model="echo", messages=HELLO)
        assert whole.choices[0].message.content == "Hello there"
        stream = client.chat.completions.create(model="echo", messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        assert "".join(pieces) == "Hello there"
        assert len([piece for piece in pieces if piece]) == 2
        assert client.responses.create(model="echo", input="Hello there").output_text == "Hello there"
        assert [model.id for model in client.models.list()] == ["echo", "echo-thinking"]


def test_the_anthropic_sdk(address: str, ann: str) -> None:
    with anthropic.Anthropic(base_url=f"{address}/llm", auth_token=ann) as client:
        whole = client.messages.create(model="echo", max_tokens=100, messages=HELLO)
        assert [block.text for block in whole.content if block.type == "text"] == ["Hello there"]
        with client.messages.stream(model="echo", max_tokens=100, messages=HELLO) as stream:
            assert "".join(stream.text_stream) == "Hello there"
            assert stream.get_final_message().stop_reason == "end_turn"


def test_who_is_not_logged_in_is_told_so_by_either_sdk(address: str) -> None:
    with (
        openai.OpenAI(base_url=f"{address}/llm/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="log in at /login first"),
    ):
        client.chat.completions.create(model="echo", messages=HELLO)
    with (
        anthropic.Anthropic(base_url=f"{address}/llm", auth_token="wrong", max_retries=0) as claude,
        pytest.raises(anthropic.AuthenticationError, match="log in at /login first"),
    ):
        claude.messages.create(model="echo", max_tokens=100, messages=HELLO)


def test_each_users_requests_are_counted(address: str, http: httpx.Client) -> None:
    bob = {"authorization": f"Bearer {log_in(http, 'bob')}"}
    assert http.get("/usage", headers=bob).json() == {"requests": 0, "tokens": 0}
    body = {"model": "echo", "messages": HELLO}
    assert http.post("/llm/v1/chat/completions", json=body, headers=bob).status_code == 200
    assert http.get("/usage", headers=bob).json() == {"requests": 1, "tokens": 4}


def test_the_commands_of_the_readme(address: str) -> None:
    """As they stand there, but for the port."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    script = text.split("Log in and ask:")[1].split("The same from Python:")[0]
    script = script.replace("localhost:8000", address.removeprefix("http://"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-e", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PATH": path}
    )
    assert done.returncode == 0, done.stderr
    decoder = json.JSONDecoder()
    answer, end = decoder.raw_decode(done.stdout)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert json.loads(done.stdout[end:])["requests"] >= 1


def test_it_stays_small() -> None:
    assert len((FOLDER / "app.py").read_text(encoding="utf-8").splitlines()) < 150
