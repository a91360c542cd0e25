"""Other settings for an application that runs: at once, all or none, and without a caller noticing."""

import asyncio
from typing import Any

import pytest

from asgi_llm import ConfigError
from asgi_llm.testing import Answer, ScriptedUpstream, Wait, chat_events, chat_text
from asgi_llm.testing.patience import within

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def tree(upstream: ScriptedUpstream, provider: str = "openai_compatible") -> dict[str, Any]:
    return {"targets": {"up": {"provider": provider, "base_url": f"{upstream.url}/v1"}}, "auth": {"anonymous": True}}


async def test_streams_go_on_with_the_old_and_requests_with_the_new(serve: Any) -> None:
    """And settings that cannot work change nothing."""
    gate = asyncio.Event()
    events = chat_events(("one", " two"))
    held = Answer.sse([*events[:2], Wait(gate), *events[2:]])
    async with (
        ScriptedUpstream([held]) as old,
        ScriptedUpstream([chat_text("new"), chat_text("still new")]) as new,
        serve(tree(old)) as served,
        served.client.stream("POST", f"{served.base}/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
    ):
        pieces = answer.aiter_bytes()
        assert b"one" in await within(anext(pieces), 60, "waiting for the first byte")
        served.mount.reload(tree(new))
        assert "new" in (await served.post("/v1/chat/completions", CHAT)).text
        with pytest.raises(ConfigError, match=r"targets\.up\.provider"):
            served.mount.reload(tree(new, "nobody"))
        assert "still new" in (await served.post("/v1/chat/completions", CHAT)).text
        gate.set()
        rest = b"".join([piece async for piece in pieces])
        assert b" two" in rest
        assert rest.endswith(b"data: [DONE]\n\n")
        assert [item.outcome for item in await served.settled(3)] == ["ok"] * 3
