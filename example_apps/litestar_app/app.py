"""A shop with users of its own, and language models for them under /llm.

Run it with ``litestar run``; the README has the rest.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.identity import shown_key
from asgi_llm_litestar import LLMPlugin, LLMPluginConfig


@dataclass
class User:
    id: int
    name: str
    company: str
    may_use_models: bool = True


@dataclass
class Login:
    name: str
    password: str


@dataclass
class Usage:
    requests: int = 0
    tokens: int = 0


PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

# Stands for a database.
users = {
    "ann": User(id=1, name="ann", company="acme"),
    "bob": User(id=2, name="bob", company="acme"),
    "eve": User(id=3, name="eve", company="acme", may_use_models=False),
}
passwords = {"ann": "ann's password", "bob": "bob's password", "eve": "eve's password"}
tokens: dict[str, User] = {}
usage: dict[str, Usage] = {}


def load_settings() -> dict[str, Any]:
    """The echo answers without any key. With OPENAI_API_KEY set, OpenAI answers what asks for its models."""
    settings: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "default_target": "echo"}
    if os.environ.get("OPENAI_API_KEY"):
        settings["targets"]["openai"] = {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}
        settings["routes"] = [{"model": "gpt-*", "target": "openai"}]
    return settings


class TokenAuthentication(AbstractAuthenticationMiddleware):
    """The shop's own: its routes and the gateway's are behind it."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        shown = shown_key(connection.headers) or ""
        user = tokens.get(shown)
        if user is None:
            raise NotAuthorizedException("log in at /login first", headers={"WWW-Authenticate": "Bearer"})
        return AuthenticationResult(user=user, auth=shown)


def may_use_models(connection: ASGIConnection[Any, Any, Any, Any], _handler: Any) -> None:
    """A guard for the gateway's paths."""
    if not connection.user.may_use_models:
        raise PermissionDeniedException("your plan has no models")


def to_identity(user: User) -> Identity:
    return Identity(subject=f"user:{user.id}", tenant=user.company, source="shop")


def count(exchange: Exchange) -> None:
    """Called once for every request to a model, however it ended."""
    used = usage.setdefault(exchange.identity.subject, Usage())
    used.requests += 1
    if exchange.usage is not None:
        used.tokens += exchange.usage.input + exchange.usage.output


@get("/", media_type="text/html", opt={"public": True}, include_in_schema=False)
async def page() -> str:
    """A page to log in and talk to a model on."""
    return PAGE


@post("/login", status_code=200, opt={"public": True})
async def login(data: Login) -> dict[str, str]:
    """A token for a name and its password."""
    expected = passwords.get(data.name, "")
    if not expected or not secrets.compare_digest(expected.encode(), data.password.encode()):
        raise NotAuthorizedException("wrong name or password")
    token = secrets.token_urlsafe(24)
    tokens[token] = users[data.name]
    return {"token": token}


@get("/usage")
async def my_usage(request: Request[User, str, Any]) -> Usage:
    """What the user has used so far."""
    return usage.get(to_identity(request.user).subject, Usage())


gateway = Gateway(load_settings(), on_settled=count)
models = LLMPlugin(LLMPluginConfig(gateway=gateway, to_identity=to_identity, guards=[may_use_models]))
app = Litestar(
    [page, login, my_usage],
    plugins=[models],
    middleware=[DefineMiddleware(TokenAuthentication, exclude="^/schema", exclude_from_auth_key="public")],
)
