"""The gateway as a FastAPI router; and what FastAPI itself takes to answer with the same number of bytes."""

from fastapi import FastAPI, Request, Response
from target import PREFIX, SETTINGS

from asgi_llm import Gateway
from asgi_llm_fastapi import llm_router

ANSWER = b'{"answer":"' + b"x" * 1000 + b'"}'

app = FastAPI()
app.include_router(llm_router(Gateway(SETTINGS)), prefix=PREFIX)


@app.post("/own")
async def own(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")
