"""The stateful Responses API on the project's database: the core's own scenarios, by the official SDK through the view,
and without it what compliance demands, whose things they are, and what a transcript keeps."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from django import VERSION

sys.path.insert(0, str(Path(__file__).parent))

from suites import cases_in, suite

openai = pytest.importorskip("openai")
httpx2 = pytest.importorskip("httpx2")
newest = pytest.mark.skipif(VERSION < (6,), reason="long, and the stores' own suites run with every Django")
STATE = suite("core/history/conftest.py")
any_speaker = suite("sdk/conftest.py").any_speaker


@pytest.fixture
def store_url(database: str) -> str:
    return "django"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


class TestBySDK:
    """Over upstreams of all dialects."""

    @pytest.fixture
    async def ask(self, serve: Any, configured: Any, database: str, stack: AsyncExitStack) -> Any:
        async def ask(speaker: Any, upstream: Any, url: str, **more: Any) -> Any:
            target = {"base_url": f"{upstream.url}/v1", "api_key": "sk-provider", **speaker.settings}
            state = {"stateful": True, **more}
            configured({"targets": {"main": target}, "responses": state, "store": {"url": url}})
            address = await stack.enter_async_context(serve("view"))
            http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=60))
            return openai.AsyncOpenAI(base_url=f"{address}/llm/v1", api_key="none", http_client=http, max_retries=0)

        return ask

    vars().update(cases_in("sdk/test_stateful.py", ("ask", "any_speaker", "store_url")))


@pytest.fixture
def open_client(database: str, stack: AsyncExitStack) -> Any:
    """The core's, with its things in the project's database whatever a test says."""
    core = STATE.open_client.__wrapped__

    async def open_client(upstream: Any, dialect: str = "chat", *, store: str = "", **responses: Any) -> Any:
        return await (await core(stack))(upstream, dialect, store="django", **responses)

    open_client.client = STATE.Client  # type: ignore[attr-defined]
    return open_client


@pytest.fixture(name="Client")
def client_class() -> Any:
    return STATE.Client


@newest
@pytest.mark.parametrize("kept", ["sqlite"], indirect=True)
class TestCompliance:
    vars().update(cases_in("core/history/test_open_responses.py", ("open_client",)))


@newest
class TestTenants:
    vars().update(cases_in("core/history/test_tenants.py", ("open_client", "store_url")))


@newest
class TestBackground:
    vars().update(cases_in("core/history/test_background.py", ("open_client", "store_url")))


@newest
class TestTranscript:
    vars().update(cases_in("core/history/test_transcript.py", ("open_client", "store_url", "Client")))


@newest
class TestForgetting:
    vars().update(cases_in("core/history/test_failures.py", ("open_client", "store_url")))
