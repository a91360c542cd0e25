"""A shop with users of its own, and language models for them under /llm.

Run it with ``uvicorn app:app``; the README has the rest.
"""

import os
import secrets
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from asgi_llm import Exchange, Gateway, Identity, Settings
from asgi_llm.identity import shown_key
from asgi_llm_fastapi import llm_router


class ShopSettings(BaseModel):
    """The application's settings; the gateway's are part of them."""

    title: str = "A shop"
    llm: Settings


class User(BaseModel):
    id: int
    name: str
    company: str
    staff: bool = False


class Login(BaseModel):
    name: str
    password: str


class Usage(BaseModel):
    requests: int = 0
    tokens: int = 0


def load_settings() -> ShopSettings:
    """The echo answers without any key. With OPENAI_API_KEY set, OpenAI answers what asks for its models."""
    targets: dict[str, object] = {"echo": {"provider": "echo"}}
    routes = []
    if os.environ.get("OPENAI_API_KEY"):
        targets["openai"] = {"provider": "openai", "api_key": "env://OPENAI_API_KEY"}
        routes.append({"model": "gpt-*", "target": "openai"})
    return ShopSettings.model_validate({"llm": {"targets": targets, "routes": routes, "default_target": "echo"}})


# Stands for a database.
users = {
    "ann": User(id=1, name="ann", company="acme", staff=True),
    "bob": User(id=2, name="bob", company="acme"),
}
passwords = {"ann": "ann's password", "bob": "bob's password"}
tokens: dict[str, User] = {}
usage: dict[str, Usage] = {}

settings = load_settings()
bearer = HTTPBearer(auto_error=False)


def current_user(request: Request, _documented: Annotated[object, Depends(bearer)]) -> User:
    """The dependency that the shop's own routes use; the gateway uses it as well."""
    user = tokens.get(shown_key(request.headers) or "")
    if user is None:
        raise HTTPException(401, "log in at /login first", headers={"WWW-Authenticate": "Bearer"})
    return user


def to_identity(user: User) -> Identity:
    return Identity(
        subject=f"user:{user.id}", tenant=user.company, roles=("staff",) if user.staff else (), source="shop"
    )


def count(exchange: Exchange) -> None:
    """Called once for every request to a model, however it ended."""
    used = usage.setdefault(exchange.identity.subject, Usage())
    used.requests += 1
    if exchange.usage is not None:
        used.tokens += exchange.usage.input + exchange.usage.output


gateway = Gateway(settings.llm, on_settled=count)
app = FastAPI(title=settings.title)
app.include_router(llm_router(gateway, identity=current_user, to_identity=to_identity), prefix="/llm")


@app.get("/", response_class=HTMLResponse, include_in_schema=False)
def page() -> str:
    """A page to log in and talk to a model on."""
    return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


@app.post("/login")
def login(login: Login) -> dict[str, str]:
    """A token for a name and its password."""
    expected = passwords.get(login.name, "")
    if not expected or not secrets.compare_digest(expected.encode(), login.password.encode()):
        raise HTTPException(401, "wrong name or password")
    token = secrets.token_urlsafe(24)
    tokens[token] = users[login.name]
    return {"token": token}


@app.get("/usage")
def my_usage(user: Annotated[User, Depends(current_user)]) -> Usage:
    """What the user has used so far."""
    return usage.get(to_identity(user).subject, Usage())
