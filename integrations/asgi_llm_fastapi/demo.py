"""The demo: a FastAPI application with a page to talk to models on, and the gateway below ``/llm``."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from asgi_llm import Gateway, Settings
from asgi_llm.cli import reachable

from .router import llm_router

__all__ = ["create_app", "keys", "settings", "welcome"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"


def keys(environ: Mapping[str, str]) -> list[str]:
    """The names of the variables in ``environ`` that hold a key the demo can use."""
    return list(reachable(environ))


def settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """The echo, and a target for every key that is there. Everybody may call."""
    targets: dict[str, Any] = {"echo": {"provider": "echo"}}
    routes = []
    for key, provider in reachable(environ).items():
        targets[provider.name] = {"provider": provider.name, "api_key": f"env://{key}"}
        routes += [{"model": pattern, "target": provider.name} for pattern in provider.models]
    return {
        "targets": targets,
        "routes": routes,
        "default_target": "echo",
        "auth": {"anonymous": True},
        "dashboard": {"enabled": True, "anonymous": True},
        "ledger": {"rows": 1000},
        "limits": {"shutdown_grace": 1},
    }


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI(title="asgi-llm demo")
    app.include_router(llm_router(Gateway(settings)), prefix="/llm")
    page = files(__package__).joinpath("demo.html").read_text(encoding="utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": _POLICY, "cache-control": "no-cache"})

    return app


def welcome(address: str, settings: Settings) -> list[str]:
    """What to print once ``address`` is listened on: where the page is, and three commands that work when pasted."""
    url = f"{address}/llm/v1"
    chat = '{"model":"echo","messages":[{"role":"user","content":"Hello"}]}'
    message = '{"model":"echo","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'
    client = f"openai.OpenAI(base_url='{url}',api_key='any')"
    answer = "c.chat.completions.create(model='echo',messages=[{'role':'user','content':'Hello'}])"
    upstreams = ", ".join(name for name in settings.targets if name != "echo")
    return [
        f"Open {address}/ in a browser, {address}/llm/dashboard beside it, or paste one of these:",
        "",
        f"curl {url}/chat/completions -H 'content-type: application/json' -d '{chat}'",
        f"curl -N {url}/messages -H 'content-type: application/json' -d '{message}'",
        f'python -c "import openai; c={client}; print({answer}.choices[0].message.content)"',
        "",
        f"Models: the echo, and those of {upstreams}."
        if upstreams
        else "Models: the echo. With OPENAI_API_KEY, ANTHROPIC_API_KEY or another provider's key set, theirs as well.",
    ]
