"""What is loaded when: little by importing the package, everything by making a gateway, nothing by a request."""

import json
import os
import subprocess
import sys
from typing import Any

LIGHT = {
    "asgi_llm",
    "asgi_llm.asgi",
    "asgi_llm.asgi.lifespan",
    "asgi_llm.asgi.middleware",
    "asgi_llm.asgi.mounts",
    "asgi_llm.errors",
    "asgi_llm.exchange",
    "asgi_llm.gateway",
    "asgi_llm.hooks",
    "asgi_llm.identity",
    "asgi_llm.types",
}
"""With the rooms ``neutral`` and ``settings``, all that the public names need."""

HEAVY = {"httpx", "httptools", "sqlalchemy", "redis", "opentelemetry", "prometheus_client"}

LOADED = """
import json, sys
import asgi_llm
print(json.dumps(sorted(sys.modules)))
"""

BUILT = """
import json
import asgi_llm
from asgi_llm.settings.values import Model
print(json.dumps([one.__name__ for one in Model.__subclasses__() if one.__pydantic_complete__]))
"""

SERVED = """
import asyncio, json, sys
from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver

SAID = {"messages": [{"role": "user", "content": "hi"}]}
BODIES = {
    "/v1/chat/completions": SAID,
    "/v1/messages": {**SAID, "max_tokens": 9},
    "/v1/responses": {"input": "hi"},
    "/v1beta/models/echo:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "/v1/embeddings": {"input": "hi"},
}

async def main():
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}})
    async with gateway.running():
        known = set(sys.modules)
        driver = ASGIDriver(gateway.asgi)
        for stream in (False, True):
            for path, body in BODIES.items():
                streamed = {"stream": True} if stream and "input" not in body and "contents" not in body else {}
                exchange = await driver.request("POST", path, json={"model": "echo", **body, **streamed})
                assert (await exchange.start()).status == 200, (path, await exchange.body())
                await exchange.body()
        print(json.dumps(sorted(name for name in set(sys.modules) - known if name.startswith("asgi_llm"))))

asyncio.run(main())
"""


def said(code: str) -> Any:
    run = [sys.executable, "-c", code]
    return json.loads(subprocess.run(run, capture_output=True, check=True, env=dict(os.environ), timeout=60).stdout)


def test_importing_the_package_loads_what_its_names_need() -> None:
    """Every command of a host imports it, and most ask no model."""
    loaded = set(said(LOADED))
    own = {name for name in loaded if name.startswith("asgi_llm")}
    assert own - LIGHT == {name for name in own if name.startswith(("asgi_llm.neutral", "asgi_llm.settings"))}
    assert not loaded & HEAVY


def test_no_validators_are_built_before_settings_are_read() -> None:
    """They take as long as all the rest."""
    assert said(BUILT) == []


def test_requests_find_everything_loaded() -> None:
    assert said(SERVED) == []
