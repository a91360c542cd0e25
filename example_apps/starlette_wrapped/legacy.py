"""An application that was there before: Starlette, users with sessions, a page. It knows nothing of the gateway."""

import secrets
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")

# Stand for a database.
passwords = {"ann": "ann's password", "bob": "bob's password"}
sessions: dict[str, str] = {}


async def home(_request: Request) -> Response:
    return HTMLResponse(PAGE)


async def login(request: Request) -> Response:
    """A session for a name and its password."""
    said = await request.json()
    name, password = str(said.get("name")), str(said.get("password"))
    expected = passwords.get(name, "")
    if not expected or not secrets.compare_digest(expected.encode(), password.encode()):
        return JSONResponse({"detail": "wrong name or password"}, 401)
    session = secrets.token_urlsafe(24)
    sessions[session] = name
    answer = JSONResponse({"name": name})
    # No page of another site can have a browser send it.
    answer.set_cookie("session", session, httponly=True, samesite="strict")
    return answer


async def key(request: Request) -> Response:
    """What a program of the user's shows instead: in this small world the session itself."""
    session = request.cookies.get("session", "")
    return JSONResponse({"key": session} if session in sessions else {}, 200 if session in sessions else 401)


app = Starlette(
    routes=[Route("/", home), Route("/login", login, methods=["POST"]), Route("/key", key)],
)
