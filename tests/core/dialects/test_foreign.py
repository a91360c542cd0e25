"""What only the caller's dialect knows is told by name, whichever dialect the upstream speaks."""

import json
from typing import Any

import msgspec
import pytest

from asgi_llm.dialects.interface import Profile
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import DialectName, Request

CHAT = {"messages": [{"role": "user", "content": "x"}]}
MESSAGES = {"max_tokens": 5000, "messages": [{"role": "user", "content": "x"}]}
RESPONSES = {"input": "x"}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
OTHERS: dict[DialectName, tuple[DialectName, ...]] = {
    "chat": ("messages", "responses", "gemini"),
    "messages": ("chat", "responses", "gemini"),
    "responses": ("chat", "messages", "gemini"),
    "gemini": ("chat", "messages", "responses"),
}
PROVIDERS = {"chat": "openai", "responses": "openai", "messages": "anthropic", "gemini": "gemini"}


def decoded(dialect: DialectName, body: dict[str, Any]) -> Request:
    request = DIALECTS[dialect].decode_request(json.dumps({"model": "m", **body}).encode())
    return msgspec.structs.replace(request, model="m")


def told(caller: DialectName, upstream: DialectName, body: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The body that is sent, and the names in the warnings."""
    encoded = DIALECTS[upstream].encode_request(decoded(caller, body), Profile(provider=PROVIDERS[upstream]))
    return json.loads(encoded.body), {warned.field for warned in encoded.warnings}


@pytest.mark.parametrize(
    ("caller", "body", "names"),
    [
        ("chat", {**CHAT, "prediction": {"type": "content", "content": "y"}}, {"prediction"}),
        ("messages", {**MESSAGES, "speed": "fast", "container": "c"}, {"speed", "container"}),
        ("messages", {**MESSAGES, "output_config": {"task_budget": {"total": 5}}}, {"output_config.task_budget"}),
        ("messages", {**MESSAGES, "thinking": {"type": "between_tools"}}, {"thinking.type"}),
        ("responses", {**RESPONSES, "truncation": "auto"}, {"truncation"}),
        ("responses", {**RESPONSES, "truncation": "disabled", "client_metadata": {"a": 1}}, set()),
        (
            "responses",
            {**RESPONSES, "reasoning": {"context": "all_turns", "mode": "pro"}},
            {"reasoning.context", "reasoning.mode"},
        ),
        ("responses", {**RESPONSES, "reasoning": {"context": "auto", "mode": "standard"}}, set()),
        (
            "gemini",
            {**GEMINI, "generationConfig": {"mediaResolution": "X"}, "safetySettings": []},
            {"generationConfig.mediaResolution", "safetySettings"},
        ),
    ],
)
def test_foreign_fields_are_named(caller: DialectName, body: dict[str, Any], names: set[str]) -> None:
    for upstream in OTHERS[caller]:
        _, warned = told(caller, upstream, body)
        assert warned - {"reasoning"} == names, upstream
    assert told(caller, caller, body)[1] == set()


def test_own_fields_survive_the_way_through_neutral() -> None:
    said = {**MESSAGES, "output_config": {"effort": "low", "task_budget": {"total": 5}}}
    request = msgspec.structs.replace(decoded("messages", said), model="claude-opus-4-6")
    encoded = DIALECTS["messages"].encode_request(request, Profile(provider="anthropic"))
    assert json.loads(encoded.body)["output_config"] == said["output_config"]


@pytest.mark.parametrize("upstream", ["messages", "responses"])
@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"candidateCount": 2}, "generationConfig.candidateCount"),
        ({"responseModalities": ["TEXT", "IMAGE"]}, "generationConfig.responseModalities"),
    ],
)
def test_refusals_name_what_a_gemini_caller_wrote(upstream: DialectName, config: dict[str, Any], param: str) -> None:
    with pytest.raises(TranslationError) as caught:
        told("gemini", upstream, {**GEMINI, "generationConfig": config})
    assert caught.value.param == param


@pytest.mark.parametrize("caller", ["messages", "gemini"])
def test_an_unfinished_answer_that_is_not_continued_is_named(caller: DialectName) -> None:
    body: dict[str, Any] = {
        "messages": {**MESSAGES, "messages": [*MESSAGES["messages"], {"role": "assistant", "content": "{"}]},
        "gemini": {"contents": [*GEMINI["contents"], {"role": "model", "parts": [{"text": "{"}]}]},
    }[caller]
    sent, warned = told(caller, "chat", body)
    assert (sent["messages"][-1], warned) == ({"role": "assistant", "content": "{"}, {"prefill"})


@pytest.mark.parametrize(("upstream", "sent"), [("chat", "default"), ("responses", "default")])
def test_service_tiers_of_other_apis_have_counterparts(upstream: DialectName, sent: str) -> None:
    assert told("messages", upstream, {**MESSAGES, "service_tier": "standard_only"})[0]["service_tier"] == sent
    assert told("gemini", upstream, {**GEMINI, "serviceTier": "SERVICE_TIER_FLEX"})[0]["service_tier"] == "flex"


def test_a_tier_without_counterpart_is_named() -> None:
    for upstream in OTHERS["responses"]:
        sent, warned = told("responses", upstream, {**RESPONSES, "service_tier": "ultrafast"})
        assert (sent.get("service_tier"), sent.get("serviceTier"), warned) == (None, None, {"service_tier"})


@pytest.mark.parametrize("upstream", ["chat", "messages", "responses"])
def test_mail_addresses_of_end_users_are_not_sent(upstream: DialectName) -> None:
    for caller, body in (
        ("messages", {**MESSAGES, "metadata": {"user_id": "ann@x.example"}}),
        ("chat", {**CHAT, "user": "ann@x.example"}),
    ):
        if caller != upstream:
            assert "ann@" not in json.dumps(told(caller, upstream, body)[0])


def test_storing_that_cannot_be_had_is_named() -> None:
    for upstream in ("messages", "gemini"):
        assert told("chat", upstream, {**CHAT, "store": True})[1] == {"store"}
        assert told("chat", upstream, {**CHAT, "store": False})[1] == set()


def test_arguments_wrapped_for_an_upstream_are_named() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "[1]"}}
    turns = [
        *CHAT["messages"],
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]
    sent, warned = told("chat", "messages", {"messages": turns})
    assert (sent["messages"][1]["content"][0]["input"], warned) == ({"_raw": "[1]"}, {"tool_arguments"})


def test_where_something_was_found_is_told_by_every_upstream() -> None:
    found = {
        "type": "search_result",
        "source": "https://s.example",
        "title": "T",
        "content": [{"type": "text", "text": "F"}],
    }
    for upstream in OTHERS["messages"]:
        sent, _ = told("messages", upstream, {**MESSAGES, "messages": [{"role": "user", "content": [found]}]})
        assert "https://s.example" in json.dumps(sent), upstream


SEARCHES: dict[DialectName, dict[str, Any]] = {
    "chat": {
        **CHAT,
        "web_search_options": {
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "Bern"}},
        },
    },
    "messages": {
        **MESSAGES,
        "tools": [
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "allowed_domains": ["a.example"],
                "user_location": {"type": "approximate", "city": "Bern"},
            }
        ],
    },
    "responses": {
        **RESPONSES,
        "tools": [
            {
                "type": "web_search",
                "filters": {"allowed_domains": ["a.example"]},
                "user_location": {"type": "approximate", "city": "Bern"},
            }
        ],
    },
}


@pytest.mark.parametrize("caller", SEARCHES)
def test_where_to_search_is_told_in_the_words_of_the_upstream(caller: DialectName) -> None:
    place = {"type": "approximate", "city": "Bern"}
    request = msgspec.structs.replace(decoded(caller, SEARCHES[caller]), model="claude-sonnet-4-5")
    if caller != "messages":
        (tool,) = json.loads(DIALECTS["messages"].encode_request(request, Profile(provider="anthropic")).body)["tools"]
        assert (tool["user_location"], tool.get("allowed_domains")) == (
            place,
            None if caller == "chat" else ["a.example"],
        )
    if caller != "responses":
        (tool,) = told(caller, "responses", SEARCHES[caller])[0]["tools"]
        assert tool["user_location"] == place
        assert (tool.get("search_context_size") == "low") == (caller == "chat")
    if caller != "chat":
        searching = msgspec.structs.replace(request, model="gpt-4o-search-preview")
        encoded = DIALECTS["chat"].encode_request(searching, Profile(provider="openai"))
        assert json.loads(encoded.body)["web_search_options"] == {
            "user_location": {"type": "approximate", "approximate": {"city": "Bern"}}
        }
        assert {warned.field for warned in encoded.warnings} == {"tools.web_search"}
    sent, warned = told(caller, "gemini", SEARCHES[caller])
    assert (sent["tools"], warned) == ([{"googleSearch": {}}], {"tools.web_search"})


def test_examples_of_arguments_reach_every_upstream() -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"city": "Bern"}]}
    for upstream in OTHERS["messages"]:
        assert "Bern" in json.dumps(told("messages", upstream, {**MESSAGES, "tools": [tool]})[0]), upstream


def test_so_many_made_up_fields_fit_into_a_header() -> None:
    body = CHAT | {f"made_up_{number}": 1 for number in range(2000)}
    _, names = told("chat", "messages", body)
    assert len(names) == 33
    assert "more" in names
