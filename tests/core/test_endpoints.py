"""The table of endpoints: which spellings of a path lead where."""

import re

import pytest

from asgi_llm import ConfigError
from asgi_llm.endpoints import ENDPOINTS, Table
from asgi_llm.settings import EndpointSettings

CALLS = {
    "/v1/chat/completions": "chat_completions",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    "/v1/messages/count_tokens": "messages_count_tokens",
    "/v1/responses/input_tokens": "responses_input_tokens",
}


def table(**settings: object) -> Table:
    return Table(EndpointSettings.model_validate(settings))


def name(found: object) -> str | None:
    return None if found is None else found[0].name  # type: ignore[index]  # a pair, or None


@pytest.mark.parametrize("prefix", ["", "/openai", "/anthropic"])
@pytest.mark.parametrize(("path", "endpoint"), CALLS.items())
def test_calls_are_found_with_and_without_version_behind_every_prefix(prefix: str, path: str, endpoint: str) -> None:
    assert name(table().find(prefix + path)) == endpoint
    assert name(table().find(prefix + path.removeprefix("/v1"))) == endpoint


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1",
        "/v2/messages",
        "/v1/v1/messages",
        "/v1/message",
        "/v1/messages/",
        "/v1/messages/count_token",
        "/V1/messages",
        "/openai/openai/v1/messages",
        "/v1/openai/messages",
        "/other/v1/messages",
        "/v1/modelsx",
        "/v1/health",
        "//v1/messages",
    ],
)
def test_other_paths_are_not_found(path: str) -> None:
    assert table().find(path) is None


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/v1/models", ""),
        ("/models", ""),
        ("/v1/models/gpt-5", "gpt-5"),
        ("/anthropic/v1/models/claude-x", "claude-x"),
        ("/openai/models/org/model:tag", "org/model:tag"),
    ],
)
def test_a_model_stands_behind_the_list_of_models(path: str, rest: str) -> None:
    found = table().find(path)
    assert found is not None
    assert (found[0].name, found[1]) == ("models", rest)


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta", "/v1alpha", "/v1beta1", "/openai/v1beta"])
@pytest.mark.parametrize("collection", ["/models/", "/publishers/google/models/"])
@pytest.mark.parametrize("model", ["gemini-3-pro", "org/model:tag", ""])
def test_a_verb_stands_behind_a_model(version: str, collection: str, model: str) -> None:
    for verb, endpoint in (
        ("generateContent", "generate_content"),
        ("streamGenerateContent", "stream_generate_content"),
        ("other", "models"),
    ):
        found = table().find(f"{version}{collection}{model}:{verb}")
        assert found is not None
        assert (found[0].name, found[1]) == (endpoint, model if endpoint != "models" else f"{model}:{verb}")


def test_the_root_answers_below_every_prefix() -> None:
    assert [name(table().find(path)) for path in ("/", "/openai", "/anthropic")] == ["root", "root", "root"]


def test_prefixes_are_the_settings() -> None:
    own = table(prefixes={"openai": "/compat/v9"})
    assert name(own.find("/compat/v9/v1/messages")) == "messages"
    assert name(own.find("/v1/messages")) == "messages"
    assert own.find("/openai/v1/messages") is None
    assert table(prefixes={}).find("/anthropic/v1/messages") is None


@pytest.mark.parametrize("disabled", ["chat_completions", "messages", "responses", "models", "health"])
def test_a_disabled_endpoint_is_gone_in_every_spelling_and_alone(disabled: str) -> None:
    rest = table(disable=[disabled])
    assert [item.name for item in rest.served] == [item.name for item in ENDPOINTS if item.name != disabled]
    for item in ENDPOINTS:
        for path in (item.path, "/openai" + item.path.rstrip("/"), re.sub("^/v1(beta)?/", "/", item.path)):
            assert name(rest.find(path)) == (None if item.name == disabled else item.name)
    assert (rest.find("/v1/models/x") is None) == (disabled == "models")


def test_calls_are_posted_and_everything_else_is_read() -> None:
    for item in ENDPOINTS:
        if item.kind == "forward":
            assert item.methods <= {"GET", "POST", "DELETE"}
            assert ("POST" in item.methods) >= (item.forwarded is not None and item.forwarded.body != "none")
        elif item.kind == "diagnose":
            assert item.methods == {"GET", "HEAD", "POST"}
        else:
            assert item.methods == ({"POST"} if item.kind in ("call", "count") else {"GET", "HEAD"})
        assert (item.dialect is not None) == (item.kind in ("call", "count", "forward"))
        assert item.public == (item.kind not in ("call", "count", "forward", "models", "usage", "diagnose"))


@pytest.mark.parametrize("prefix", ["", "/openai", "/anthropic"])
@pytest.mark.parametrize("version", ["/v1", ""])
def test_ids_stand_in_paths(prefix: str, version: str) -> None:
    found = table().find(f"{prefix}{version}/files/file-1")
    assert found is not None
    assert (found[0].name, found[1]) == ("file", "file-1")
    assert name(table().find(f"{prefix}{version}/files/file-1/content")) == "file_content"
    assert name(table().find(f"{prefix}{version}/batches/b/cancel")) == "batch_cancel"
    for path in ("/files/", "/files//content", "/files/a/b", "/files/a/content/more", "/batches/a/content"):
        assert table().find(prefix + version + path) is None
    assert table(disable=["file_content"]).find(f"{prefix}{version}/files/file-1/content") is None


def test_only_endpoints_can_be_disabled() -> None:
    with pytest.raises(ConfigError, match=r'endpoints\.disable\[1\]: "embedding" is none of chat_completions, '):
        table(disable=["files", "embedding"])
    with pytest.raises(ConfigError, match=r'endpoints\.disable\[0\]: "root"'):
        table(disable=["root"])
