"""Where it answers, in which dialect, and what it leaves to the application."""

from typing import Any

import pytest
from mounts.base import PAGE

HELLO: Any = [{"role": "user", "content": "Hello there"}]
CHAT = {"model": "echo", "messages": HELLO}
MESSAGE = {**CHAT, "max_tokens": 99}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}]}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "messages": ("/v1/messages", MESSAGE),
    "responses": ("/v1/responses", {"model": "echo", "input": "Hello there"}),
    "gemini": ("/v1beta/models/echo:generateContent", CONTENTS),
    "count-messages": ("/v1/messages/count_tokens", CHAT),
    "count-responses": ("/v1/responses/input_tokens", {"model": "echo", "input": "Hello there"}),
    "count-gemini": ("/v1beta/models/echo:countTokens", CONTENTS),
}


async def test_every_dialect_below_the_prefix(serve: Any) -> None:
    """In every spelling of its path, and with a slash at its end."""
    async with serve() as served:
        for name, (path, body) in CALLS.items():
            answer = await served.post(path, body)
            assert answer.status_code == 200, (name, answer.text)
            assert name.startswith("count") or "Hello there" in answer.text, name
            if not answer.request.url.path.count(":"):
                for other in (path.removeprefix("/v1"), f"/openai{path}", f"{path}/"):
                    assert (await served.post(other, body)).status_code == 200, other
        await served.settled(5)
        for path, wanted in (
            ("/v1/models", "echo-thinking"),
            ("/v1/models/echo", "echo"),
            ("/health", "ok"),
            ("/", ""),
        ):
            answer = await served.get(path)
            assert answer.status_code == 200, path
            assert wanted in answer.text
            assert (await served.client.head(served.base + path)).status_code == 200, path


@pytest.mark.parametrize("prefix", ["/llm", "/a/b", "/v1"])
@pytest.mark.parametrize("root_path", ["", "/api"])
async def test_below_any_prefix_and_root_path(serve: Any, prefix: str, root_path: str) -> None:
    async with serve(prefix=prefix, root_path=root_path) as served:
        for path, body in CALLS.values():
            assert (await served.post(path, body)).status_code == 200, path
        assert (await served.get("/v1/nothing")).json()["error"]["code"] == "unknown_endpoint"


async def test_what_is_not_its_own_is_the_applications(serve: Any) -> None:
    """A name that only begins like the prefix, too."""
    async with serve() as served:
        for path in ("/about", "/llmfoo"):
            answer = await served.client.get(served.base.removesuffix("/llm") + path)
            assert (answer.status_code, answer.content) == (200, PAGE), path


async def test_a_prefix_that_both_answer_below(serve: Any, way: Any) -> None:
    if not way.shares:
        pytest.skip("the host gives the prefix to the gateway alone")
    async with serve(shared=True) as served:
        assert (await served.get("/v1/nothing")).content == PAGE
        assert (await served.post("/v1/chat/completions", CHAT)).status_code == 200


async def test_errors_come_in_the_callers_dialect(serve: Any) -> None:
    """For paths that there are not, methods that there are not, and bodies that are none."""
    shapes: dict[str, Any] = {
        "/v1/chat/completions": lambda said: said["error"]["message"],
        "/v1/messages": lambda said: said["type"] == "error" and said["error"]["message"],
        "/v1/responses": lambda said: said["error"]["message"],
        "/v1beta/models/echo:generateContent": lambda said: said["error"]["status"] and said["error"]["message"],
    }
    async with serve() as served:
        for path, told in shapes.items():
            wrong = await served.client.post(
                served.base + path, content=b"{", headers={"content-type": "application/json"}
            )
            assert (wrong.status_code, bool(told(wrong.json()))) == (400, True), path
            if ":" not in path:
                unknown = await served.post(f"{path}/a/b", {})
                assert (unknown.status_code, bool(told(unknown.json()))) == (404, True), path
                method = await served.get(path)
                assert (method.status_code, method.headers["allow"]) == (405, "POST"), path
                assert told(method.json())
        problem = await served.post("/v1/messages", {}, headers={"accept": "application/problem+json"})
        assert problem.headers["content-type"] == "application/problem+json"


async def test_bodies_pass_byte_for_byte_up_to_the_limit(serve: Any, way: Any) -> None:
    """Whatever limits the host has for forms; beyond the gateway's own one the refusal is in the dialect."""
    async with serve({"limits": {"body": 4_000_000}}) as served:
        large = {**MESSAGE, "messages": [{"role": "user", "content": "x" * 3_500_000}]}
        answer = await served.post("/v1/messages", large)
        assert len(answer.json()["content"][0]["text"]) == 3_500_000
        refused = await served.post("/v1/messages", {**large, "stop": "y" * 600_000})
        assert (refused.status_code, refused.json()["error"]["type"]) == (413, "request_too_large")
        if not way.wsgi:  # its server does not take bodies of unknown length

            async def pieces() -> Any:
                for _ in range(50):
                    yield b" " * 100_000

            headers = {"content-type": "application/json"}
            refused = await served.client.post(f"{served.base}/v1/messages", content=pieces(), headers=headers)
            assert refused.status_code == 413
