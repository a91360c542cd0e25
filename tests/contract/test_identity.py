"""Who calls: as the application says, by the gateway's own keys, or nobody."""

import functools
from typing import Any

import pytest

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
MESSAGE = {**CHAT, "max_tokens": 9}
KEYED = {"auth": {"keys": [{"key": "k-1", "subject": "ci", "tenant": "tools"}]}}


async def test_the_applications_users(serve: Any) -> None:
    async with serve(KEYED) as served:
        answer = await served.post("/v1/messages", MESSAGE, headers={"x-user": "ann"})
        assert answer.status_code == 200, answer.text
        (settled,) = await served.settled(1)
        assert (settled.identity.subject, settled.identity.tenant) == ("ann", "acme")
        assert settled.identity.source == "contract"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/models"])
async def test_whom_the_application_refuses(serve: Any, path: str) -> None:
    """In words that the caller's SDK shows."""
    async with serve(KEYED) as served:
        ask = served.get if path == "/v1/models" else functools.partial(served.post, json=MESSAGE)
        answer = await ask(path, headers={"x-user": "eve"})
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == "not you"


async def test_the_gateways_own_keys(serve: Any) -> None:
    shown = [{"authorization": "Bearer k-1"}, {"x-api-key": "k-1"}, {"x-goog-api-key": "k-1"}]
    async with serve(KEYED) as served:
        for headers in shown:
            assert (await served.post("/v1/messages", MESSAGE, headers=headers)).status_code == 200
        assert {item.identity.subject for item in await served.settled(3)} == {"ci"}
        wrong = await served.post("/v1/messages", MESSAGE, headers={"x-api-key": "k-2"})
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (401, "authentication_error")


async def test_nobody(serve: Any) -> None:
    """Is let in where the settings say so, and only there. Probes are answered in any case."""
    async with serve(KEYED) as served:
        refused = await served.post("/v1/chat/completions", CHAT)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await served.get("/health")).status_code == 200
    async with serve() as served:
        assert (await served.post("/v1/chat/completions", CHAT)).status_code == 200
        (settled,) = await served.settled(1)
        assert settled.identity.source == "anonymous"


async def test_no_caller_can_say_who_it_is(serve: Any) -> None:
    async with serve(KEYED) as served:
        forged = {"asgi_llm.identity": "ann", "x-identity": "ann", "remote-user": "ann"}
        assert (await served.post("/v1/chat/completions", CHAT, headers=forged)).status_code == 401
