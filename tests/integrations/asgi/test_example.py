"""The example as its README has it, under every server that the README names."""

import os
import subprocess
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

FOLDER = Path(__file__).parents[3] / "example_apps" / "asgi_app"
HELLO: Any = [{"role": "user", "content": "Hello there"}]


async def test_it_runs_as_it_stands_there(server: Any, start: Any) -> None:
    async with start(server, "app:app", folder=FOLDER) as running:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/llm/v1", api_key="ann's token") as client:
            stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            assert "".join(said) == "Hello there"
        async with anthropic.AsyncAnthropic(base_url=f"{running.url}/llm", api_key="bob's token") as claude:
            answer = await claude.messages.create(model="echo", max_tokens=99, messages=HELLO)
            assert [block.text for block in answer.content if block.type == "text"] == ["Hello there"]
        async with openai.AsyncOpenAI(base_url=f"{running.url}/llm/v1", api_key="x", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="echo", messages=HELLO)
        script = (FOLDER / "README.md").read_text(encoding="utf-8").split("Ask:")[1].split("What to look at")[0]
        script = script.replace("localhost:8000", running.url.removeprefix("http://"))
        done = subprocess.run(
            ["bash", "-e", "-c", script], capture_output=True, text=True, check=False, timeout=120, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr
        assert "event: message_stop" in done.stdout
        assert "ann has used" in done.stdout
        assert "bob has used 4 tokens." in done.stdout


def test_it_stays_small() -> None:
    assert len((FOLDER / "app.py").read_text(encoding="utf-8").splitlines()) < 150
