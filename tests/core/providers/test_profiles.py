"""What a request that uses everything becomes for each provider: only what that server takes, the rest named."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from msgspec import Raw

from asgi_llm.dialects.interface import Encoded
from asgi_llm.dialects.profile import adapted
from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import (
    CacheMark,
    Carrier,
    Document,
    FunctionTool,
    Image,
    Inline,
    Instruction,
    OutputFormat,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    StreamOptions,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Url,
)
from asgi_llm.providers.registry import PROVIDERS

LONG_ID = "toolu_" + "x" * 80
SCHEMA = Raw(b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}')
PICTURE = Image(Inline("image/png", "aGk="))
PDF = Document(Inline("application/pdf", "aGk="), title="a.pdf")
EVERYTHING: dict[str, Any] = {
    "dialect": "messages",
    "instructions": (Instruction((Text("Be brief."),)), Instruction((Text("Be kind."),), "developer")),
    "turns": (
        Turn("user", (Text("Look:"), PICTURE)),
        Turn("assistant", (Reasoning("Hm."), Text("Let me see."), ToolCall(LONG_ID, "f", '{"a":"1"}'))),
        Turn("user", (ToolResult(LONG_ID, (Text("one"), PICTURE)), Text("And now?"))),
        Turn("assistant", (ToolCall("b", "g"),)),
        Turn("user", (ToolResult("b", (Text("two"),)),)),
        Turn("assistant", ()),
        Turn("system", (Text("It is late."),)),
        Turn("user", (Text("Go."),)),
    ),
    "tools": (FunctionTool("f", description="Does.", schema=SCHEMA, strict=True), FunctionTool("g")),
    "tool_choice": ToolChoice("required"),
    "parallel_tools": False,
    "sampling": Sampling(
        temperature=1.7,
        top_p=0.9,
        top_k=5,
        seed=7,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias=Raw(b'{"1":2}'),
    ),
    "max_output": 99,
    "stop": tuple("abcdef"),
    "reasoning": ReasoningConfig(effort="xhigh"),
    "output": OutputFormat("schema", "out", schema=SCHEMA),
    "end_user": "u1",
    "metadata": {"k": "v"},
    "stream": StreamOptions(on=True),
}


def encode(provider: str, model: str = "m", **more: Any) -> Encoded:
    return DIALECTS["chat"].encode_request(Request(model=model, **EVERYTHING | more), PROVIDERS[provider].profile)


def body(provider: str, model: str = "m", **more: Any) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(encode(provider, model, **more).body)
    return written


def lost(encoded: Encoded) -> set[str]:
    return {warned.field for warned in encoded.warnings}


def turns(*parts: Part) -> tuple[Turn, ...]:
    return (Turn("user", parts),)


_ALWAYS = {"model", "messages", "tools", "stream", "temperature", "top_p", "stop", "response_format"}
_COMMON = _ALWAYS | {"max_tokens", "stream_options", "tool_choice"}
_PENALTIES = {"presence_penalty", "frequency_penalty"}
KNOWN: dict[str, set[str]] = {
    # The fields that each server's reference lists.
    "openai_compatible": _COMMON
    | _PENALTIES
    | {"seed", "logit_bias", "reasoning_effort", "parallel_tool_calls", "n", "logprobs", "top_logprobs"},
    "ollama": _COMMON - {"tool_choice"} | _PENALTIES | {"seed", "reasoning_effort", "logprobs", "top_logprobs"},
    "llama_cpp": _COMMON
    | _PENALTIES
    | {"seed", "logit_bias", "top_k", "min_p", "parallel_tool_calls", "logprobs", "top_logprobs"},
    "openrouter": _COMMON
    | _PENALTIES
    | {"seed", "logit_bias", "top_k", "min_p", "parallel_tool_calls", "reasoning", "user", "verbosity", "n"}
    | {"logprobs", "top_logprobs"},
    "deepseek": _COMMON | {"thinking", "reasoning_effort"},
    "kimi": _COMMON - {"max_tokens"}
    | _PENALTIES
    | {"max_completion_tokens", "n", "thinking", "reasoning_effort", "safety_identifier", "prompt_cache_key"},
    "minimax": _ALWAYS - {"response_format"}
    | {"max_completion_tokens", "stream_options", "thinking", "reasoning_split"},
    "glm": _COMMON - {"tool_choice"} | {"thinking", "reasoning_effort", "tool_stream"},
    "qwen": _COMMON
    | {"presence_penalty", "seed", "top_k", "n", "enable_thinking", "thinking_budget", "parallel_tool_calls"}
    | {"logprobs", "top_logprobs"},
    "mistral": _COMMON - {"stream_options"}
    | _PENALTIES
    | {"random_seed", "n", "parallel_tool_calls", "reasoning_effort", "prompt_mode", "safe_prompt", "metadata"},
    "groq": _COMMON - {"max_tokens"}
    | {"max_completion_tokens", "seed", "parallel_tool_calls", "reasoning_effort", "reasoning_format", "user"},
    "xai": _COMMON - {"max_tokens"}
    | {"max_completion_tokens", "seed", "n", "parallel_tool_calls", "reasoning_effort", "user", "store"}
    | {"logprobs", "top_logprobs"},
    "gemini_chat": _COMMON | {"n", "reasoning_effort"},
}
KNOWN["vllm"] = KNOWN["sglang"] = KNOWN["openai_compatible"] | {"top_k", "min_p"}

MODELS = {
    "deepseek": ("deepseek-v4-pro",),
    "kimi": ("kimi-k3", "kimi-k2.6", "kimi-k2.7-code", "kimi-k2-thinking", "moonshot-v1-8k"),
    "minimax": ("MiniMax-M3",),
    "glm": ("glm-5.3", "glm-5", "glm-4.6", "glm-4-32b"),
    "qwen": ("qwen3.6-plus",),
    "mistral": ("mistral-large-latest", "magistral-medium-2509", "mistral-medium-3.5", "mistral-small-latest"),
    "groq": ("openai/gpt-oss-120b", "qwen/qwen3-32b", "llama-3.3-70b-versatile", "moonshotai/kimi-k2-instruct"),
    "xai": ("grok-4.6", "grok-4.3", "grok-4.5", "grok-4-0709", "grok-4-fast-non-reasoning", "grok-3-mini", "grok-3"),
    "gemini_chat": ("gemini-3-pro",),
}
SERVERS = [(name, model) for name in KNOWN for model in MODELS.get(name, ("m",))]
servers = pytest.mark.parametrize(("name", "model"), SERVERS)

VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"reasoning": None, "stream": StreamOptions()},
    {"reasoning": ReasoningConfig(effort="none"), "tool_choice": ToolChoice("tool", name="f")},
    {"reasoning": ReasoningConfig(budget=3000), "tool_choice": ToolChoice("none")},
    {"reasoning": ReasoningConfig(effort="max"), "tool_choice": ToolChoice("auto"), "output": OutputFormat("json")},
    {"sampling": Sampling(temperature=0, logprobs=True, top_logprobs=2), "tool_choice": None, "n": 1},
    {"tool_choice": ToolChoice("allowed", names=("f",), required=True)},
    {"tools": (), "tool_choice": None, "parallel_tools": None, "turns": turns(Text("Hi"))},
    {"turns": (*turns(Text("Hi")), Turn("assistant", (Text("The answer"),)))},
)


def test_every_server_that_differs_is_held_to_its_fields() -> None:
    assert KNOWN.keys() == {name for name, provider in PROVIDERS.items() if not provider.profile.origin}


@servers
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_server_gets_no_field_that_it_does_not_know(name: str, model: str, variant: dict[str, Any]) -> None:
    written = body(name, model, **variant)
    assert written.keys() <= KNOWN[name]
    assert written.get("tools", True)
    for tool in written.get("tools", ()):
        assert tool["type"] == "function"
        assert "strict" not in tool["function"] or name in ("mistral", "openrouter")
    for message in written["messages"]:
        assert message.keys() <= {"role", "content", "tool_calls", "tool_call_id", "prefix", "partial"} | {
            adapted(PROVIDERS[name].profile, model).reasoning_field or "reasoning_details"
        }
        assert message["role"] in ("system", "user", "assistant", "tool", "developer")
        assert message["role"] != "developer" or name == "openrouter"


@servers
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_was_asked_for_and_is_not_sent_is_named(name: str, model: str, variant: dict[str, Any]) -> None:
    encoded = encode(name, model, **variant)
    written, named = json.loads(encoded.body), lost(encoded)
    sampling = variant.get("sampling", EVERYTHING["sampling"])
    for knob in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias"):
        if (value := getattr(sampling, knob)) is not None:
            same = written.get(knob) == (json.loads(bytes(value)) if isinstance(value, Raw) else value)
            assert same or {knob, f"{knob}.range"} & named
    if sampling.seed is not None:
        assert {"seed", "random_seed"} & written.keys() or "seed" in named
    if variant.get("parallel_tools", False) is False and written.get("tools"):
        assert written.get("parallel_tool_calls") is False or "parallel_tool_calls" in named
    assert len(written.get("stop", ())) == len(EVERYTHING["stop"]) or "stop" in named
    choice = variant.get("tool_choice", EVERYTHING["tool_choice"])
    if choice is not None and choice.mode in ("required", "tool", "allowed"):
        assert "tool_choice" in written or {"tool_choice.required", "tool_choice.tool"} & named
    if choice is not None and choice.mode == "none":
        assert written.get("tool_choice") == "none" or ("tools" not in written and "tool_choice.none" in named)


EXPECTED: list[tuple[str, str, dict[str, Any], dict[str, Any], set[str]]] = [
    # provider, model, what is asked for, what must be written (None: nothing), what must be named
    ("vllm", "m", {}, {"reasoning_effort": "high", "top_k": 5, "stop": list("abcdef")}, {"reasoning_effort.level"}),
    ("ollama", "m", {}, {"tool_choice": None, "reasoning_effort": "high"}, {"tool_choice.required", "top_k"}),
    ("ollama", "m", {"tool_choice": ToolChoice("none")}, {"tools": None}, {"tool_choice.none"}),
    ("llama_cpp", "m", {}, {"tool_choice": "required"}, {"reasoning_effort"}),
    (
        "llama_cpp",
        "m",
        {"tool_choice": ToolChoice("tool", name="f")},
        {"tool_choice": "required"},
        {"tool_choice.tool"},
    ),
    ("openrouter", "a/b", {}, {"reasoning": {"effort": "xhigh"}, "user": "u1"}, {"stop", "metadata"}),
    (
        "openrouter",
        "a/b",
        {"reasoning": ReasoningConfig(budget=3000, visible=False)},
        {"reasoning": {"max_tokens": 3000, "exclude": True}},
        set(),
    ),
    ("openrouter", "a/b", {"reasoning": ReasoningConfig(adaptive=True)}, {"reasoning": {"enabled": True}}, set()),
    (
        "deepseek",
        "deepseek-v4-pro",
        {},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "xhigh", "tool_choice": None},
        {"tool_choice.required", "output.schema", "seed"},
    ),
    (
        "deepseek",
        "deepseek-v4-pro",
        {"reasoning": None},
        {"thinking": {"type": "disabled"}, "reasoning_effort": None, "tool_choice": "required"},
        {"thinking.forced"},
    ),
    (
        "deepseek",
        "deepseek-v4-pro",
        {"reasoning": ReasoningConfig(effort="none"), "tool_choice": ToolChoice("tool", name="f")},
        {"thinking": {"type": "disabled"}, "tool_choice": {"type": "function", "function": {"name": "f"}}},
        set(),
    ),
    (
        "deepseek",
        "d",
        {"tool_choice": ToolChoice("auto")},
        {"tool_choice": None, "thinking": {"type": "enabled"}},
        set(),
    ),
    ("kimi", "kimi-k3", {}, {"reasoning_effort": "max", "temperature": None, "thinking": None}, {"temperature", "n"}),
    ("kimi", "kimi-k3", {"reasoning": ReasoningConfig(effort="none")}, {"reasoning_effort": "low"}, set()),
    ("kimi", "kimi-k2.6", {"reasoning": None}, {"thinking": {"type": "disabled"}}, {"thinking.forced"}),
    ("kimi", "kimi-k2.7-code", {"reasoning": None}, {"thinking": None, "tool_choice": None}, {"tool_choice.required"}),
    ("kimi", "moonshot-v1-8k", {}, {"temperature": 1, "presence_penalty": 0.5}, {"temperature.range", "output.schema"}),
    (
        "minimax",
        "MiniMax-M3",
        {},
        {"thinking": {"type": "adaptive"}, "reasoning_split": True, "temperature": 1, "response_format": None},
        {"output.schema", "reasoning_effort", "temperature.range"},
    ),
    ("minimax", "MiniMax-M3", {"sampling": Sampling(temperature=0)}, {"temperature": 0.01}, {"temperature.range"}),
    ("glm", "glm-5.3", {}, {"reasoning_effort": "max", "tool_stream": True, "stop": ["a"]}, {"stop", "output.schema"}),
    ("glm", "glm-5.3", {"stream": StreamOptions()}, {"tool_stream": None}, set()),
    ("glm", "glm-5", {}, {"thinking": {"type": "enabled"}, "reasoning_effort": None}, {"reasoning_effort"}),
    ("qwen", "qwen3.6-plus", {}, {"enable_thinking": True, "top_k": 5}, {"reasoning_effort", "tool_choice.required"}),
    (
        "qwen",
        "qwen3.6-plus",
        {"reasoning": ReasoningConfig(budget=3000), "tool_choice": None},
        {"enable_thinking": True, "thinking_budget": 3000},
        set(),
    ),
    ("qwen", "q", {"reasoning": None}, {"enable_thinking": False, "tool_choice": "required"}, {"thinking.forced"}),
    (
        "mistral",
        "mistral-large-latest",
        {},
        {"random_seed": 7, "temperature": 1.5, "stream_options": None, "tool_choice": "required"},
        {"reasoning_effort", "logit_bias", "temperature.range"},
    ),
    ("mistral", "mistral-medium-3.5", {}, {"reasoning_effort": "high"}, {"reasoning_effort.level"}),
    ("groq", "openai/gpt-oss-20b", {}, {"reasoning_effort": "high", "user": "u1"}, {"logit_bias"}),
    ("groq", "qwen/qwen3-32b", {}, {"reasoning_effort": "default", "reasoning_format": "parsed"}, {"output.schema"}),
    ("groq", "llama-3.3-70b", {}, {"reasoning_effort": None, "max_completion_tokens": 99}, {"reasoning_effort"}),
    ("xai", "grok-4.6", {}, {"reasoning_effort": "xhigh", "stop": None}, {"stop", "presence_penalty"}),
    ("xai", "grok-4.3", {"reasoning": ReasoningConfig(effort="none")}, {"reasoning_effort": "none"}, set()),
    ("xai", "grok-4-0709", {}, {"reasoning_effort": None}, {"reasoning_effort"}),
    ("xai", "grok-4-1-fast-non-reasoning", {}, {"stop": list("abcd")}, {"reasoning_effort"}),
    ("gemini_chat", "gemini-3-pro", {}, {"reasoning_effort": "high", "seed": None}, {"seed", "strict"}),
    ("azure", "gpt-5", {}, {"max_completion_tokens": 99, "temperature": None, "store": None}, {"temperature", "stop"}),
]


@pytest.mark.parametrize(("name", "model", "asked", "written", "named"), EXPECTED)
def test_the_wish_is_said_as_the_server_understands_it(
    name: str, model: str, asked: dict[str, Any], written: dict[str, Any], named: set[str]
) -> None:
    encoded = encode(name, model, **{"n": 1} | asked)
    said = json.loads(encoded.body)
    assert {field: said.get(field) for field in written} == written
    assert named - {"n"} <= lost(encoded)


@servers
def test_several_answers_are_refused_where_one_is_given(name: str, model: str) -> None:
    profile = adapted(PROVIDERS[name].profile, model)
    if "n" in profile.lacks:
        with pytest.raises(TranslationError) as refused:
            encode(name, model, n=2)
        assert refused.value.param == "n"
    else:
        assert body(name, model, n=2)["n"] == 2


@servers
def test_calls_and_their_results_go_by_ids_that_the_server_takes(name: str, model: str) -> None:
    shape = r"[A-Za-z0-9]{9}" if name == "mistral" else r"[A-Za-z0-9_-]{1,64}"
    messages = body(name, model)["messages"]
    called = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert len(set(called)) == 2
    assert all(re.fullmatch(shape, call_id) for call_id in called)
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == called


@pytest.mark.parametrize("name", ["mistral", "vllm", "sglang", "llama_cpp"])
def test_there_is_one_system_message_where_templates_take_no_more(name: str) -> None:
    encoded = encode(name)
    roles = [message["role"] for message in json.loads(encoded.body)["messages"]]
    assert [place for place, role in enumerate(roles) if role == "system"] == [0]
    assert "It is late." in str(json.loads(encoded.body)["messages"][1:])
    assert "system_turn" in lost(encoded)


def test_mistral_hears_the_assistant_between_tool_and_user() -> None:
    encoded = encode("mistral")
    roles = [message["role"] for message in json.loads(encoded.body)["messages"]]
    assert ("tool", "user") not in set(pairwise(roles))
    assert "role_order" in lost(encoded)


def test_templates_that_want_turns_get_them() -> None:
    messages = body("llama_cpp")["messages"]
    spoken = [message["role"] for message in messages]
    assert {("user", "user"), ("assistant", "assistant")}.isdisjoint(pairwise(spoken))


def test_joined_turns_keep_all_they_say() -> None:
    spoken = (Turn("user", (Text("a"),)), Turn("user", (Text("b"), PICTURE)), Turn("user", (Text("c"),)))
    (message,) = body("llama_cpp", turns=spoken, instructions=())["messages"]
    assert [part.get("text", part["type"]) for part in message["content"]] == ["a", "b", "image_url", "c"]


def test_joined_answers_keep_their_thoughts() -> None:
    spoken = (
        *turns(Text("Hi")),
        Turn("assistant", (Reasoning("One."), Text("a"))),
        Turn("assistant", (Reasoning("Two."), Text("b"), ToolCall("1", "f"))),
        Turn("user", (ToolResult("1"),)),
    )
    _, joined, _ = body("llama_cpp", turns=spoken, instructions=())["messages"]
    assert (joined["content"], joined["reasoning_content"]) == ("a\n\nb", "One.\n\nTwo.")
    assert len(joined["tool_calls"]) == 1


@pytest.mark.parametrize(("name", "mark"), [("mistral", "prefix"), ("kimi", "partial"), ("qwen", "partial")])
def test_an_answer_to_be_continued_is_marked(name: str, mark: str) -> None:
    begun = (*turns(Text("Hi")), Turn("assistant", (Text("The answer"),)))
    assert body(name, turns=begun)["messages"][-1] == {"role": "assistant", "content": "The answer", mark: True}
    assert not any(mark in message for message in body(name)["messages"])


def test_kimi_gets_no_empty_messages() -> None:
    assert all(message["content"] or "tool_calls" in message for message in body("kimi")["messages"])


@pytest.mark.parametrize("name", ["deepseek", "kimi"])
def test_thoughts_stand_beside_every_call_where_they_must(name: str) -> None:
    calling = [message for message in body(name)["messages"] if "tool_calls" in message]
    assert [message["reasoning_content"] for message in calling] == ["Hm.", ""]


@pytest.mark.parametrize(
    ("name", "model", "field", "back"),
    [
        ("vllm", "m", "reasoning", "Hm."),
        ("ollama", "m", "reasoning", "Hm."),
        ("sglang", "m", "reasoning_content", "Hm."),
        ("glm", "glm-5", "reasoning_content", "Hm."),
        ("groq", "openai/gpt-oss-20b", "reasoning", "Hm."),
        ("minimax", "MiniMax-M3", "reasoning_details", [{"type": "reasoning.text", "index": 0, "text": "Hm."}]),
        (
            "mistral",
            "magistral-medium-2509",
            "content",
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Let me see."},
            ],
        ),
        ("mistral", "mistral-large-latest", "content", "Let me see."),
    ],
)
def test_earlier_thoughts_go_back_where_the_server_looks_for_them(name: str, model: str, field: str, back: Any) -> None:
    (thought, *_) = [message for message in body(name, model)["messages"] if message["role"] == "assistant"]
    assert thought[field] == back


def test_openrouter_gets_its_details_and_cache_marks() -> None:
    entry = {"type": "reasoning.encrypted", "data": "x", "format": "f", "index": 0}
    thought = Reasoning("Hm.", carriers=(Carrier("openrouter.detail", json.dumps(entry)),))
    asked = (Turn("user", (Text("Hi", cache=CacheMark("1h")),)), Turn("assistant", (thought, Text("Yes."))))
    messages = body("openrouter", turns=asked, instructions=())["messages"]
    assert messages[0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert messages[1]["reasoning_details"] == [entry]


def test_gemini_gets_its_signatures_back_and_a_filler_for_the_first_of_calls_made_elsewhere() -> None:
    signed = ToolCall("a", "f", carriers=(Carrier("google.thought_signature", "c2ln", provider="google"),))
    asked = (
        Turn("assistant", (signed, ToolCall("b", "f"))),
        Turn("user", (ToolResult("a"), ToolResult("b"))),
        Turn("assistant", (ToolCall("c", "f"), ToolCall("d", "f"))),
        Turn("user", (ToolResult("c"), ToolResult("d"))),
    )
    calls = [call for message in body("gemini_chat", turns=asked)["messages"] for call in message.get("tool_calls", ())]
    signatures = [call.get("extra_content", {}).get("google", {}).get("thought_signature") for call in calls]
    assert signatures == ["c2ln", None, "skip_thought_signature_validator", None]
    assert "extra_content" not in str(body("mistral", turns=asked))


@pytest.mark.parametrize("name", KNOWN)
def test_images_by_url_are_refused_where_nobody_fetches_them(name: str) -> None:
    asked = turns(Image(Url("https://example.org/a.png")))
    if PROVIDERS[name].profile.image_urls:
        assert "https://example.org/a.png" in str(body(name, turns=asked)["messages"])
        return
    with pytest.raises(TranslationError, match="send their content") as refused:
        encode(name, turns=asked)
    assert refused.value.param == "messages.0"


def test_documents_are_said_in_each_servers_way_or_refused() -> None:
    linked = Document(Url("https://example.org/a.pdf"), title="a.pdf")
    data = "data:application/pdf;base64,aGk="

    def part(name: str, document: Document) -> Any:
        return body(name, turns=turns(document))["messages"][-1]["content"][0]

    assert part("vllm", PDF) == {"type": "file", "file": {"filename": "a.pdf", "file_data": data}}
    assert part("mistral", PDF) == {"type": "document_url", "document_url": data, "document_name": "a.pdf"}
    assert part("mistral", linked)["document_url"] == "https://example.org/a.pdf"
    assert part("openrouter", linked)["file"]["file_data"] == "https://example.org/a.pdf"
    for name, document in (("deepseek", PDF), ("vllm", linked), ("kimi", linked)):
        with pytest.raises(TranslationError):
            encode(name, turns=turns(document))


def test_a_schema_that_cannot_be_said_stands_in_the_instructions() -> None:
    written = body("deepseek")
    assert written["response_format"] == {"type": "json_object"}
    assert bytes(SCHEMA).decode() in written["messages"][2]["content"]
    assert "JSON" in body("minimax", output=OutputFormat("json"))["messages"][2]["content"]


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if provider.profile.families])
def test_every_family_can_be_taken_on(name: str) -> None:
    profile = PROVIDERS[name].profile
    for model in MODELS[name]:
        assert adapted(profile, model).families == ()
    matched = {next((kind for kind in profile.families if re.search(kind.models, m)), None) for m in MODELS[name]}
    assert len(matched) >= min(3, len(profile.families))


def test_xai_is_asked_for_its_proofs_and_not_to_store_in_responses() -> None:
    asked = {"dialect": "responses", "turns": turns(Text("Hi")), "instructions": (), "stop": (), "metadata": None}
    request = Request(model="grok-4.6", **{"reasoning": ReasoningConfig(effort="high", summary="auto"), **asked})
    written = json.loads(DIALECTS["responses"].encode_request(request, PROVIDERS["xai"].profile).body)
    assert written["include"] == ["reasoning.encrypted_content"]
    assert written["reasoning"] == {"effort": "high"}
    foreign = json.loads(
        DIALECTS["responses"]
        .encode_request(Request(model="grok-4.6", turns=turns(Text("Hi")), dialect="chat"), PROVIDERS["xai"].profile)
        .body
    )
    assert foreign["store"] is False


def passed(name: str, model: str, asked: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A caller's own request in Chat Completions as it goes to the server, and whether it was only patched."""
    chat, profile = DIALECTS["chat"], PROVIDERS[name].profile
    raw = json.dumps({"model": model, **asked}).encode()
    assert chat.patcher is not None
    patcher = chat.patcher(profile, model)
    patched = None if patcher is None else patcher.patch(raw)
    if patched is not None:
        return json.loads(patched.body), True
    return json.loads(chat.encode_request(chat.decode_request(raw), profile).body), False


SAID: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@servers
def test_a_callers_own_chat_request_fits_as_well(name: str, model: str) -> None:
    """Patched where that is enough, else written anew."""
    asked = body("azure", "gpt-4o")
    written, _ = passed(name, model, asked | {"user": "u"} if name == "mistral" else asked)
    assert written.keys() <= KNOWN[name] | {"response_format"}
    assert len(written.get("stop", ())) <= (PROVIDERS[name].profile.max_stop or 9)
    roles = [message["role"] for message in written["messages"]]
    assert "developer" not in roles or name == "openrouter"
    if (order := PROVIDERS[name].profile.order) is not None:
        assert order.system_turns or not {"system"} & set(roles[1:])
        assert order.user_after_tool or ("tool", "user") not in set(pairwise(roles))


@pytest.mark.parametrize(
    ("name", "more", "only_patched"),
    [
        ("vllm", {"seed": 1, "stop": list("abcdef"), "reasoning_effort": "low"}, True),
        ("vllm", {"reasoning_effort": "xhigh"}, False),
        ("vllm", {"messages": [*SAID["messages"], {"role": "system", "content": "x"}]}, False),
        ("deepseek", {"temperature": 1.5, "stop": list("abcdef"), "thinking": {"type": "disabled"}}, True),
        ("deepseek", {"reasoning_effort": "high"}, False),
        ("deepseek", {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, False),
        ("deepseek", {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"}, False),
        ("glm", {"temperature": 1.5}, False),
        ("glm", {"temperature": 0.5, "stop": "a"}, True),
        ("glm", {"stop": ["a", "b"]}, False),
        ("xai", {"stop": "a"}, False),
        ("xai", {"presence_penalty": 1}, True),
        ("kimi", {"messages": [*SAID["messages"], {"role": "assistant", "content": ""}, *SAID["messages"]]}, False),
        ("kimi", {"messages": [*SAID["messages"], {"role": "assistant", "content": "So"}]}, False),
        ("llama_cpp", {"messages": SAID["messages"] * 2}, False),
        ("mistral", {}, False),
        ("openrouter", {"verbosity": "low", "reasoning": {"max_tokens": 9}}, True),
    ],
)
def test_only_what_a_patch_cannot_do_is_written_anew(name: str, more: dict[str, Any], only_patched: bool) -> None:
    written, patched = passed(name, "m", SAID | more)
    assert patched is only_patched
    if patched:
        lacked = PROVIDERS[name].profile.lacks
        assert {key: value for key, value in written.items() if key != "model"} == {
            key: value for key, value in (SAID | more).items() if key not in lacked
        }


def test_a_call_without_its_thought_is_written_anew_where_there_must_be_one() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calling = {"role": "assistant", "content": None, "tool_calls": [call]}
    asked = [*SAID["messages"], calling, {"role": "tool", "tool_call_id": "c", "content": "1"}]
    written, patched = passed("deepseek", "m", {"messages": asked})
    assert (patched, written["messages"][1]["reasoning_content"]) == (False, "")
    asked[1] = calling | {"reasoning_content": "Hm."}
    assert passed("deepseek", "m", {"messages": asked}) == ({"model": "m", "messages": asked}, True)


def test_a_knob_that_a_patch_takes_away_is_named() -> None:
    raw = json.dumps({"model": "grok-4.6", "presence_penalty": 1, "frequency_penalty": 0, **SAID}).encode()
    patcher = DIALECTS["chat"].patcher
    assert patcher is not None
    xai = patcher(PROVIDERS["xai"].profile, "grok-4.6")
    assert xai is not None
    patched = xai.patch(raw)
    assert patched is not None
    assert {warned.field for warned in patched.warnings} == {"presence_penalty"}
