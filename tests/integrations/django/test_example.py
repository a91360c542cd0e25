"""The example as its README has it, started by one command; and the same project on other servers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
import httpx
import pytest

_FORGOTTEN = re.compile(r"Traceback \(most recent call last\):\n(?: .*\n)*django\.core\.exceptions\.RequestAborted\n?")
"""Django 5.2 listens for the caller's leaving in a task that it forgets when the answer is out; where the connection
then closes at once, asyncio tells of it."""

FOLDER = Path(__file__).parents[3] / "example_apps" / "django_app"
BODY = {"model": "echo", "messages": [{"role": "user", "content": "Hello there"}]}
MANAGE = [sys.executable, "-W", "error", str(FOLDER / "manage.py")]

SERVERS = {
    "uvicorn": "uvicorn shop.asgi:application --port {port}",
    "uvicorn-workers": "uvicorn shop.asgi:application --port {port} --workers 2",
    "daphne": "daphne -p {port} shop.asgi:application",
    "hypercorn": "hypercorn -b 127.0.0.1:{port} shop.asgi:application",
    "granian": "granian --interface asgi --port {port} shop.asgi:application",
    "gunicorn": "gunicorn -b 127.0.0.1:{port} --threads 4 shop.wsgi",
    "gunicorn-preload": "gunicorn -b 127.0.0.1:{port} --workers 2 --preload shop.wsgi",
}


def environment(database: Path) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = os.pathsep.join([str(FOLDER), *(str(Path(entry).resolve()) for entry in given)])
    return {**known, "SHOP_DATABASE": str(database), "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "shop.settings"}


@contextmanager
def running(command: list[str], database: Path, port: int) -> Iterator[tuple[str, Path]]:
    """The address, and the log."""
    log = database.parent / f"log-{port}"
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment(database), cwd=FOLDER)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                httpx.get(f"{url}/llm/health", trust_env=False, timeout=60).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    said = log.read_text()
    if django.VERSION < (6,):
        said = _FORGOTTEN.sub("", said)
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, free_port: Any) -> Iterator[tuple[str, Path]]:
    """Address and database of the example, started as the README says."""
    database = tmp_path_factory.mktemp("shop") / "shop.db"
    port = free_port()
    with running([*MANAGE, "serve", "--port", str(port)], database, port) as (url, _log):
        yield url, database


@contextmanager
def browser(url: str) -> Iterator[httpx.Client]:
    """One in which ann has logged in."""
    with httpx.Client(base_url=url, trust_env=False, follow_redirects=True, timeout=60) as client:
        client.get("/login/")
        form = {"username": "ann", "password": "ann's password", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        assert client.post("/login/", data=form).raise_for_status().url.path == "/"
        yield client


def token(client: httpx.Client) -> str:
    found = re.search(r'id="token">([^<]+)<', client.get("/").text)
    assert found
    return found[1]


def test_the_page_reaches_the_model_with_the_session(shop: tuple[str, Path]) -> None:
    with browser(shop[0]) as ann:
        assert ann.post("/llm/v1/chat/completions", json=BODY).status_code == 403
        sent = {"x-csrftoken": ann.cookies["csrftoken"]}
        with ann.stream("POST", "/llm/v1/chat/completions", json={**BODY, "stream": True}, headers=sent) as answer:
            assert answer.status_code == 200
            assert answer.read().endswith(b"data: [DONE]\n\n")
        assert "/llm/v1/chat/completions" in ann.get("/").text
        deadline = time.monotonic() + 60
        while " 0 tokens used" in ann.get("/").text:
            assert time.monotonic() < deadline


def test_programs_reach_it_with_a_token(shop: tuple[str, Path]) -> None:
    anthropic = pytest.importorskip("anthropic")
    openai = pytest.importorskip("openai")
    hello: Any = BODY["messages"]
    with browser(shop[0]) as ann:
        key = token(ann)
    with openai.OpenAI(base_url=f"{shop[0]}/llm/v1", api_key=key) as client:
        answer = client.chat.completions.create(model="echo", messages=hello)
        assert answer.choices[0].message.content == "Hello there"
    with (
        anthropic.Anthropic(base_url=f"{shop[0]}/llm", api_key=key) as claude,
        claude.messages.stream(model="echo", max_tokens=100, messages=hello) as stream,
    ):
        assert "".join(stream.text_stream) == "Hello there"
    with (
        openai.OpenAI(base_url=f"{shop[0]}/llm/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError, match="the shop's page has a new one"),
    ):
        client.chat.completions.create(model="echo", messages=hello)


def test_staff_see_it_all_in_the_admin_and_issue_keys(shop: tuple[str, Path]) -> None:
    with browser(shop[0]) as ann:
        shown = {"x-csrftoken": ann.cookies["csrftoken"]}
        ann.post("/llm/v1/chat/completions", json=BODY, headers=shown).raise_for_status()
        deadline = time.monotonic() + 60
        while "user:1" not in (page := ann.get("/admin/asgi_llm/usage/").raise_for_status().text):
            assert time.monotonic() < deadline
        assert "asgi-llm-chart" in page
        assert "user:1" in ann.get("/admin/asgi_llm/budget/").text
        assert ann.get("/static/asgi_llm/admin.css").status_code == 200
        form = {"subject": "robot", "tenant": "shop", "csrfmiddlewaretoken": ann.cookies["csrftoken"]}
        (key,) = re.findall(r"llm_\w{12}_\w{43}", ann.post("/admin/asgi_llm/apikey/add/", data=form).text)
    answer = httpx.post(
        f"{shop[0]}/llm/v1/chat/completions", json=BODY, headers={"x-api-key": key}, trust_env=False, timeout=60
    )
    assert answer.status_code == 200, answer.text


def test_who_has_neither_is_told_so(shop: tuple[str, Path]) -> None:
    answer = httpx.post(f"{shop[0]}/llm/v1/chat/completions", json=BODY, trust_env=False, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    assert "Log in" in httpx.get(shop[0], trust_env=False, timeout=60).text


def test_the_commands_of_the_readme(shop: tuple[str, Path]) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    script = re.search(r"^    (curl .*?\n      .*?)$", text, re.MULTILINE)
    assert script
    with browser(shop[0]) as ann:
        command = f"TOKEN={token(ann)}\n{script[1].replace('localhost:8000', shop[0].removeprefix('http://'))}"
    done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello"
    for arguments in re.findall(r"`python manage.py (asgi_llm .*?)`", text):
        done = subprocess.run(
            [*MANAGE, *arguments.split()], capture_output=True, text=True, check=False, env=environment(shop[1])
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


def test_its_checks_are_content(shop: tuple[str, Path]) -> None:
    done = subprocess.run(
        [*MANAGE, "check"], capture_output=True, text=True, check=False, env=environment(shop[1]), timeout=120
    )
    assert (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_on_other_servers(shop: tuple[str, Path], server: str, free_port: Any) -> None:
    if find_spec(server.partition("-")[0]) is None:
        pytest.skip(f"{server} is not installed")
    port = free_port()
    command = [sys.executable, "-m", *SERVERS[server].format(port=port).split()]
    with browser(shop[0]) as ann:
        headers = {"authorization": f"Bearer {token(ann)}"}
    with (
        running(command, shop[1], port) as (url, _log),
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        for _ in range(4):
            whole = client.post("/llm/v1/chat/completions", json=BODY, headers=headers)
            assert whole.json()["choices"][0]["message"]["content"] == "Hello there"
            stream = client.post("/llm/v1/chat/completions", json={**BODY, "stream": True}, headers=headers)
            assert stream.text.endswith("data: [DONE]\n\n")
        large = {**BODY, "messages": [{"role": "user", "content": "x" * 3_000_000}], "max_tokens": 1}
        assert client.post("/llm/v1/chat/completions", json=large, headers=headers).status_code == 200
        paced = {**BODY, "stream": True, "messages": [{"role": "user", "content": "/repeat 30\n/delay 0.1\nword"}]}
        with client.stream("POST", "/llm/v1/chat/completions", json=paced, headers=headers) as answer:
            first = next(answer.iter_raw())
        assert first.count(b"word") < 30  # the others are not made yet


def test_it_stays_small() -> None:
    lines = [line for path in FOLDER.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) < 220
