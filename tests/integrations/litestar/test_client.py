"""Models for the application's own handlers."""

from typing import Annotated, Any

import openai
from litestar import Request, get
from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware

HELLO: Any = [{"role": "user", "content": "Hello there"}]


@get("/summary")
async def summary(llm_client: Annotated[Any, "llm_client"]) -> str:
    async with openai.AsyncOpenAI(http_client=llm_client, api_key="none") as client:
        answer = await client.chat.completions.create(model="echo", messages=HELLO)
    return answer.choices[0].message.content or ""


class ByHeader(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        return AuthenticationResult(user=connection.headers.get("x-user"), auth=None)


async def test_for_the_user_of_a_middleware(make: Any) -> None:
    app = make(handlers=[summary], litestar={"middleware": [DefineMiddleware(ByHeader)]})
    async with app.driver.lifespan():
        head, body = await app.send("GET", "/summary", {"x-user": "ann"})
        assert (head.status, body) == (200, b"Hello there")
        head, body = await app.send("GET", "/summary")
        assert (head.status, head.header("www-authenticate")) == (401, "Bearer")
    assert [item.identity.subject for item in app.settled] == ["ann"]


async def test_for_the_user_of_a_dependency(make: Any) -> None:
    async def user(request: Request[Any, Any, Any]) -> str | None:
        return request.headers.get("x-user")

    app = make(handlers=[summary], identity=user)
    async with app.driver.lifespan():
        assert (await app.send("GET", "/summary", {"x-user": "ann"}))[1] == b"Hello there"
        assert (await app.send("GET", "/summary"))[0].status == 401
    assert [item.identity.subject for item in app.settled] == ["ann"]
