"""Models for the application's own endpoints."""

from typing import Annotated, Any

import openai
import pytest

pytest.importorskip("fastapi")

from fastapi import Depends, FastAPI, Header

from asgi_llm import Exchange, Gateway, Identity
from asgi_llm.testing import ASGIDriver
from asgi_llm_fastapi import llm_client

HELLO: Any = [{"role": "user", "content": "Hello there"}]


async def test_for_the_user_of_a_dependency() -> None:
    settled: list[Exchange] = []
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}}, on_settled=settled.append)
    app = FastAPI()

    def user(x_user: Annotated[str | None, Header()] = None) -> str | None:
        return x_user

    def to_identity(name: str) -> Identity:
        return Identity(subject=name, tenant="acme")

    for_user = llm_client(gateway, user, to_identity=to_identity)

    async def summary(http: Annotated[Any, Depends(for_user)]) -> str:
        async with openai.AsyncOpenAI(http_client=http, api_key="none") as client:
            answer = await client.chat.completions.create(model="echo", messages=HELLO)
        return answer.choices[0].message.content or ""

    app.add_api_route("/summary", summary)
    driver = ASGIDriver(app)
    async with gateway.running():
        known = await driver.request("GET", "/summary", {"x-user": "ann"})
        assert await known.json() == "Hello there"
        unknown = await driver.request("GET", "/summary")
        assert (await unknown.start()).status == 401
    assert [(item.identity.subject, item.identity.tenant) for item in settled] == [("ann", "acme")]
