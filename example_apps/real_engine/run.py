"""A real engine behind the gateway, by one command: makes a model, serves it, puts the gateway in front, talks to it.

    python run.py

Talks through the official SDKs, looks at every answer, and exits with 1 if something is wrong. With ``--keep`` it
leaves everything running and prints curl lines.
"""

import argparse
import os
import queue
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from examination import TARGETS, Examination, say
from make_model import MODEL_VERSION, make_model

from asgi_llm import Exchange, Gateway


def main() -> int:
    parser = argparse.ArgumentParser(description="A real engine behind the gateway.")
    parser.add_argument("--keep", action="store_true", help="leave it running and print curl lines")
    parser.add_argument("--port", type=int, default=0, help="of the gateway (default: any that is free)")
    options = parser.parse_args()
    engine_key, gateway_key = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    with ExitStack() as stack:
        engine = stack.enter_context(served_model(model_file(), engine_key))
        settled: queue.Queue[Exchange] = queue.Queue()
        gateway = Gateway(settings(engine, engine_key, gateway_key), on_settled=settled.put)
        url = stack.enter_context(served(gateway, options.port))
        say(f"-- the gateway answers on {url}")
        if options.keep:
            keep(url, gateway_key)
            return 0
        wrong = Examination(url, gateway_key, engine, engine_key, settled).run()
    say("-- everything is shut down")
    for line in wrong:
        say(f"WRONG: {line}")
    say(f"{len(wrong)} wrong" if wrong else "all is well")
    return 1 if wrong else 0


def model_file() -> Path:
    path = Path(tempfile.gettempdir()) / f"asgi-llm-tiny-{MODEL_VERSION}.gguf"
    if not path.exists():
        say("-- making a tiny model with random weights")
        make_model(path)
    say(f"-- model {path}, {path.stat().st_size // 1024} KiB")
    return path


@contextmanager
def served_model(path: Path, key: str) -> Iterator[str]:
    """The engine in a process of its own; its address."""
    say("-- starting the engine")
    command = [sys.executable, str(Path(__file__).with_name("engine.py")), str(path)]
    environment = {**os.environ, "ENGINE_KEY": key}
    pipe = subprocess.PIPE
    # A session of its own: Ctrl-C is for this program, which then ends the engine.
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise SystemExit("the engine did not start")
            say(f"-- the engine listens on {address}")
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def settings(engine: str, engine_key: str, gateway_key: str) -> dict[str, Any]:
    upstream = {"provider": "openai_compatible", "base_url": f"{engine}/v1", "api_key": engine_key}
    return {
        "targets": {
            name: {**upstream, "dialects": dialects, "models": {name: "tiny"}} for name, dialects in TARGETS.items()
        },
        "routes": [{"model": name, "target": name} for name in TARGETS],
        "auth": {"keys": [{"key": gateway_key, "subject": "you"}]},
    }


@contextmanager
def served(gateway: Gateway, port: int) -> Iterator[str]:
    """The gateway, served in a thread; its address."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        config = uvicorn.Config(gateway.asgi, lifespan="on", log_level="warning", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            # Who connects before it runs waits in the listener's queue.
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def keep(url: str, key: str) -> None:
    body = '{"model": "tiny", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    for path in ("chat/completions", "messages"):
        say(f"curl -N {url}/v1/{path} -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{body}'")
    say("Ctrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        say("")


if __name__ == "__main__":
    sys.exit(main())
