"""The examples' pages in a real browser: log in, ask, and see the answer come piece by piece."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

connect: Any = pytest.importorskip("websockets.sync.client").connect
pytest.importorskip("uvicorn")

APPS = Path(__file__).parents[2] / "example_apps"
SECONDS = 40
EXAMPLES = {
    "asgi_app": ("uvicorn", "-m uvicorn app:app --port 0"),
    "starlette_wrapped": ("starlette", "-m uvicorn app:app --port 0"),
    "fastapi_app": ("fastapi", "-m uvicorn app:app --port 0"),
    "litestar_app": ("litestar", "-m litestar --app app:app run --port 0"),
    "django_app": ("django", "manage.py serve --port 0"),
}

ASKED = """
    fetch("/llm/v1/chat/completions", {
        method: "POST",
        headers: {
            "content-type": "application/json",
            "x-csrftoken": document.cookie.match(/csrftoken=([^;]+)/)[1],
        },
        body: JSON.stringify({model: "echo", messages: [{role: "user", content: "Hello"}]}),
    }).then((answer) => answer.status)
"""
"""What a page of the Django example does to ask; the status of the answer."""


class Browser:
    """A page in Chromium, by its own protocol."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    def command(self, method: str, **parameters: Any) -> Any:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (said := json.loads(self._socket.recv(timeout=SECONDS))).get("id") != number:
            pass
        assert "error" not in said, said
        return said["result"]

    def run(self, script: str) -> Any:
        """What a script in the page comes to."""
        done = self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, script: str) -> Any:
        return patiently(lambda: self.run(script), script)


def patiently(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"waiting for {what}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if "CI" in os.environ:
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("chromium")
    options = (
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server --remote-debugging-port=0"
    )
    command = [program, *options.split(), f"--user-data-dir={folder}", "about:blank"]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    try:
        port = folder / "DevToolsActivePort"
        patiently(lambda: port.exists() and port.read_text().count("\n"), "chromium")
        number, path = port.read_text().split()
        with connect(f"ws://127.0.0.1:{number}{path}", max_size=None, proxy=None) as whole:
            target = Browser(whole).command("Target.createTarget", url="about:blank")["targetId"]
            with connect(f"ws://127.0.0.1:{number}/devtools/page/{target}", max_size=None, proxy=None) as page:
                yield Browser(page)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def served(name: str, command: str, folder: Path) -> Iterator[str]:
    paths = [str(Path(one).resolve()) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"} | {
        "PYTHONPATH": os.pathsep.join([str(APPS / name), *paths]),
        "SHOP_DATABASE": str(folder / "shop.db"),
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command.split()], cwd=APPS / name, env=environment, stdout=output, stderr=output
        )
    try:

        def address() -> Any:
            assert process.poll() is None, log.read_text()
            return re.search(r"running on (http://\S+)", log.read_text())

        yield patiently(address, name)[1]
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_user_logs_in_and_talks_to_a_model(name: str, browser: Browser, tmp_path: Path) -> None:
    needs, command = EXAMPLES[name]
    if find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    with served(name, command, tmp_path) as url:
        url = url.replace("127.0.0.1", "localhost")
        browser.command("Page.navigate", url=f"{url}/login/" if name == "django_app" else url)
        browser.until("document.querySelector('[name=password]') !== null")
        browser.run("document.querySelector('[name=name],[name=username]').value = 'ann'")
        browser.run("document.querySelector('[name=password]').value = \"ann's password\"")
        browser.run("document.querySelector('[name=password]').form.requestSubmit()")
        browser.until("document.getElementById('ask') !== null && !document.getElementById('ask').hidden")
        # As many lengths as there were paints; the answer takes more than a second.
        browser.run(
            "window.lengths = [];"
            "new MutationObserver(() => lengths.push(document.getElementById('said').textContent.length))"
            ".observe(document.getElementById('said'), {childList: true, characterData: true, subtree: true});"
            "const text = document.querySelector('#ask [name=text]');"
            "const area = document.createElement('textarea'); area.name = 'text';"
            "area.value = '/delay 0.1\\none two three four five six';"
            "text.replaceWith(area); document.getElementById('ask').requestSubmit(); undefined"
        )
        browser.until("document.getElementById('said').textContent === 'one two three four five six'")
        lengths = browser.run("[...new Set(lengths)].filter((length) => length).join()").split(",")
        assert len(lengths) >= 3, lengths


@pytest.mark.skipif(find_spec("django") is None, reason="django is not installed")
def test_staff_set_a_budget_and_see_what_is_used(browser: Browser, tmp_path: Path) -> None:
    with served("django_app", EXAMPLES["django_app"][1], tmp_path) as url:
        url = url.replace("127.0.0.1", "localhost")
        browser.command("Page.navigate", url=f"{url}/login/?next=/admin/asgi_llm/budget/add/")
        browser.until("document.querySelector('[name=password]') !== null")
        browser.run("document.querySelector('[name=username]').value = 'ann'")
        browser.run("document.querySelector('[name=password]').value = \"ann's password\"")
        browser.run("document.querySelector('[name=password]').form.requestSubmit()")
        browser.until("document.getElementById('budget_form') !== null && document.readyState === 'complete'")
        for name, value in (("name", "little"), ("resource", "requests"), ("limit", "1"), ("window", "lifetime")):
            browser.run(f"document.querySelector('#budget_form [name={name}]').value = '{value}'")
        browser.run("document.querySelector('#budget_form [name=per][value=subject]').click()")
        browser.run("document.querySelector('#budget_form [name=_save]').click()")
        browser.until("document.body?.textContent.includes('little: 1 requests in all')")
        assert [browser.run(ASKED) for _ in range(2)] == [200, 429]
        browser.command("Page.navigate", url=f"{url}/admin/asgi_llm/budget/")
        browser.until("document.querySelector('meter[value=\"100\"]') !== null")

        def charted() -> Any:
            browser.command("Page.navigate", url=f"{url}/admin/asgi_llm/usage/")
            browser.until("location.pathname.endsWith('/usage/') && document.readyState === 'complete'")
            # The bars are there, and the style sheet has come.
            return browser.run(
                "(document.querySelector('.asgi-llm-chart rect')?.getBoundingClientRect().height > 0)"
                " && getComputedStyle(document.querySelector('.asgi-llm-legend')).display === 'flex'"
            )

        patiently(charted, "the ledger")


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_stays_small(name: str) -> None:
    files = (APPS / name).rglob("*.py")
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) < 150
    assert (APPS / name / "README.md").exists()
