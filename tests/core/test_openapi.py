"""Operations as documented."""

from typing import Any

import pytest

from asgi_llm.endpoints import ENDPOINTS, STORED, Endpoint
from asgi_llm.openapi import operation

CALLS = [endpoint for endpoint in ENDPOINTS if endpoint.kind == "call"]


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, *STORED], ids=lambda item: item.name)
def test_every_endpoint_has_an_operation_of_its_own(endpoint: Endpoint) -> None:
    """A new object each time: frameworks write into what they are given."""
    described = operation(endpoint)
    assert described["summary"] == endpoint.summary
    assert described["responses"]["200"]["content"].keys() >= {"application/json"}
    described["responses"].clear()
    described.get("requestBody", {}).clear()
    assert operation(endpoint)["responses"]
    takes = endpoint.kind in ("call", "count", "forward") or endpoint.name in ("response_compact", "conversations")
    if endpoint.forwarded is not None and endpoint.forwarded.body == "none":
        takes = False
    assert ("requestBody" in operation(endpoint)) == takes


@pytest.mark.parametrize("endpoint", CALLS, ids=lambda item: item.name)
def test_a_call_names_its_fields_and_both_kinds_of_answer(endpoint: Endpoint) -> None:
    described = operation(endpoint)
    body: dict[str, Any] = described["requestBody"]["content"]["application/json"]["schema"]
    said = {"responses": {"model", "input"}, "gemini": {"contents"}}.get(str(endpoint.dialect), {"model", "messages"})
    assert said <= set(body["required"]) <= set(body["properties"])
    assert set(body["required"]) <= set(body["examples"][0]) <= set(body["properties"])
    assert body["additionalProperties"] is True
    forms = {"application/json"} if endpoint.name == "generate_content" else {"application/json", "text/event-stream"}
    assert described["responses"]["200"]["content"].keys() == forms
    error = described["responses"]["4XX"]["content"]["application/json"]["schema"]
    assert ("type" in error["properties"]) == (endpoint.dialect == "messages")


@pytest.mark.parametrize(
    ("name", "needed", "answered"),
    [
        ("messages_count_tokens", ["model", "messages"], "input_tokens"),
        ("responses_input_tokens", ["model", "input"], "input_tokens"),
        ("count_tokens", [], "totalTokens"),
    ],
)
def test_a_count_needs_nothing_that_is_about_the_answer(name: str, needed: list[str], answered: str) -> None:
    described = operation(next(endpoint for endpoint in ENDPOINTS if endpoint.name == name))
    body = described["requestBody"]["content"]["application/json"]["schema"]
    assert body.get("required", []) == needed
    assert not {"max_tokens", "max_output_tokens", "stream"} & (body["properties"].keys() | body["examples"][0].keys())
    answer = described["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["required"] == [answered]
    assert "x-llm-warnings" in answer["headers"]
    assert "4XX" in described["responses"]
