"""Other settings for a gateway that runs."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, Wait, chat_events, chat_text, no_leaks


def tree(url: str, **more: Any) -> dict[str, Any]:
    return {"targets": {"up": {"provider": "openai_compatible", "base_url": f"{url}/v1"}}, **more}


async def test_requests_that_run_end_as_they_began() -> None:
    gate = asyncio.Event()
    events = chat_events(("one", " two"))
    held = Answer.sse([*events[:2], Wait(gate), *events[2:]])
    async with ScriptedUpstream([held]) as old, ScriptedUpstream([chat_text("new")]) as new:
        gateway = Gateway(tree(old.url))
        async with no_leaks():
            async with gateway.running(), gateway.running():
                stream = gateway.chat_stream("m", "hi")
                assert await anext(stream) == "one"
                before = gateway.runtime()
                gateway.reload(tree(new.url))
                assert gateway.runtime() is not before
                assert (await gateway.chat("m", "hi")).text == "new"
                gate.set()
                assert "".join([text async for text in stream]) == " two"
                assert gateway.runtime().users == 2
            assert gateway._runtimes == {}
        assert not gateway._retired


async def test_what_cannot_work_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "llm.toml"
    file.write_text('[targets.one]\nprovider = "echo"\n')
    gateway = Gateway(file)
    async with gateway.running():
        file.write_text('[targets.one]\nprovider = "nobody"\n')
        runtime = gateway.runtime()
        with pytest.raises(ConfigError, match=r"targets\.one\.provider"):
            gateway.reload()
        assert gateway.runtime() is runtime
        assert list(gateway.settings.targets) == ["one"]
        file.write_text('[targets.two]\nprovider = "echo"\n[endpoints]\ndisable = ["messages"]\n')
        gateway.reload()
        assert list(gateway.settings.targets) == ["two"]
        async with gateway.client() as client:
            assert (await client.post("/v1/messages", json={})).status_code == 404


async def test_a_stop_does_not_wait_for_ever_for_the_old() -> None:
    gate = asyncio.Event()
    events = chat_events(("one", " two"))
    async with no_leaks(), ScriptedUpstream([Answer.sse([*events[:2], Wait(gate)])]) as old:
        gateway = Gateway(tree(old.url, limits={"shutdown_grace": 0}))
        async with gateway.running():
            stream = gateway.chat_stream("m", "hi")
            await anext(stream)
            gateway.reload(tree(old.url, limits={"shutdown_grace": 0}))
        await old.requests[0].wait_disconnected()
        with pytest.raises(Exception, match="broke off"):
            await anext(stream)


async def test_from_another_thread() -> None:
    async with ScriptedUpstream([chat_text("new")]) as new:
        gateway = Gateway(tree("http://127.0.0.1:9"))
        async with gateway.running():
            thread = threading.Thread(target=gateway.reload, args=(tree(new.url),))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert (await gateway.chat("m", "hi")).text == "new"


async def test_a_forgotten_lifespan_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """By the first request from a server; the application's own calls need none."""
    gateway = Gateway({"targets": {"echo": {"provider": "echo"}}})
    driver = ASGIDriver(gateway.asgi)
    async with gateway.running():
        await (await driver.request("GET", "/health")).finished()
    await gateway.chat("echo", "hi")
    await gateway.aclose()
    assert "with the application" not in caplog.text
    for _ in range(2):
        await (await driver.request("GET", "/health")).finished()
    await gateway.aclose()
    assert caplog.text.count("not with the application") == 1
