"""The gateway as a Litestar plugin; and what Litestar itself takes to answer with the same number of bytes."""

from litestar import Litestar, Request, Response, post
from target import PREFIX, SETTINGS

from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

ANSWER = b'{"answer":"' + b"x" * 1000 + b'"}'


@post("/own", status_code=200)
async def own(request: Request) -> Response:  # type: ignore[type-arg]  # of any user
    await request.body()
    return Response(ANSWER, media_type="application/json")


app = Litestar([own], plugins=[LLMPlugin(LLMPluginConfig(settings=SETTINGS, path=PREFIX))])
