"""Usage that an upstream told before its stream broke off, in pieces that said nothing else."""

from typing import Any

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import Answer, ASGIDriver, Reset, ScriptedUpstream


def piece(text: str, output: int) -> dict[str, Any]:
    used = {"promptTokenCount": 70, "candidatesTokenCount": output, "totalTokenCount": 70 + output}
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}], "usageMetadata": used}


async def test_the_last_that_gemini_told_counts() -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(Answer.sse([piece("Hi", 1), piece(" there", 5), Reset()])) as upstream:
        target = {"provider": "gemini", "base_url": upstream.url, "api_key": "k"}
        gateway = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=settled.append)
        async with gateway.running():
            body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/messages", json=body)
            await exchange.body()
            await exchange.finished()
    (seen,) = settled
    assert seen.usage is not None
    assert (seen.usage.input, seen.usage.output) == (70, 5)
