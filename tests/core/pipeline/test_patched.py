"""Same dialect, but a server that differs from its origin: the caller's bytes, changed only where they must be."""

import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    chat_stream,
    chat_text,
    messages_text,
    responses_text,
)

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
WHOLE: dict[str, Any] = {"chat": chat_text, "messages": messages_text, "responses": responses_text}
HI = '"messages":[{"role":"user","content":"hi"}]'


async def through(
    body: str, dialect: str = "chat", provider: str = "openai_compatible", answer: Any = None, **more: Any
) -> tuple[str, str, int, str]:
    """What the upstream got, the warnings, and status and body of the answer."""
    async with ScriptedUpstream(answer or WHOLE[dialect]("Hello!")) as upstream:
        target = {"provider": provider, "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": [dialect], **more}
        gate = Gateway({"targets": {"up": target}, "auth": {"anonymous": True}})
        async with gate.running():
            headers = {"content-type": "application/json"}
            exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[dialect], headers, body.encode())
            head = await exchange.start()
            data = await exchange.body()
            await exchange.finished()
        sent = upstream.requests[0].body.decode() if upstream.requests else ""
    fields = {name.decode(): value.decode() for name, value in head.headers}
    return sent, fields.get("x-llm-warnings", ""), head.status, data.decode()


def tool(name: str, strict: str = "") -> str:
    schema = '{"type":"object","properties":{"strict":{"type":"boolean"}},"maximum":1e400}'
    return f'{{"type":"function","function":{{{strict}"name":"{name}","parameters":{schema}}}}}'


YES, NO = '"strict":true,', '"strict": false , '
QUOTED = r'"messages":[{"role":"user","content":"\"store\":true,\"role\":\"developer\""}]'

CHAT = {
    "nothing to change": (f'{{ "model" : "m",\n{HI},"x":1.0 , "x":2}}', None, ""),
    "the limit's name": (
        f'{{"model":"m", "max_completion_tokens" : 5 ,{HI}}}',
        f'{{"model":"m", "max_tokens" : 5 ,{HI}}}',
        "",
    ),
    "a limit said twice over": (
        f'{{"max_tokens":7,"model":"m",{HI},"max_completion_tokens":5}}',
        f'{{"model":"m",{HI},"max_tokens":5}}',
        "",
    ),
    "developers": (
        '{"model":"m","messages":[{"role" : "developer","content":"\\u00e9"},{"content":"developer","role":"user"}]}',
        '{"model":"m","messages":[{"role" : "system","content":"\\u00e9"},{"content":"developer","role":"user"}]}',
        "",
    ),
    "extras first, amid and last": (
        f'{{"store":true, "model":"m", "metadata":{{"a":"b"}},{HI},\n"n":1 ,"verbosity":"x","prompt_cache_key":1 }}',
        f'{{"model":"m", {HI},\n"n":1 }}',
        "store;warn, metadata;warn",
    ),
    "extras that say nothing": (f'{{"model":"m",{HI},"store":false,"metadata":null}}', f'{{"model":"m",{HI}}}', ""),
    "strict tools": (
        f'{{"model":"m",{HI},"tools":[{tool("f", YES)},{tool("g", NO)}]}}',
        f'{{"model":"m",{HI},"tools":[{tool("f")},{tool("g")}]}}',
        "strict;warn",
    ),
    "words in a text": (f'{{"model":"m",{QUOTED},"tools":[{tool("strict")}]}}', None, ""),
    "numbers and unicode beside a patch": (
        f'{{"model":"m",{HI},"seed":12345678901234567890123,"x":"é\u2028\\/","store":true,"y":1.10}}',
        f'{{"model":"m",{HI},"seed":12345678901234567890123,"x":"é\u2028\\/","y":1.10}}',
        "store;warn",
    ),
}


@pytest.mark.parametrize("case", CHAT)
async def test_chat_changes_what_must_be_and_no_byte_more(case: str) -> None:
    body, expected, warnings = CHAT[case]
    sent, said, status, _ = await through(body)
    assert status == 200
    assert sent == (body if expected is None else expected)
    assert said == warnings


@pytest.mark.parametrize("case", CHAT)
async def test_the_origin_gets_every_byte(case: str) -> None:
    body, _, _ = CHAT[case]
    sent, said, _, _ = await through(body, provider="openai")
    assert (sent, said) == (body, "")


@pytest.mark.parametrize("case", CHAT)
async def test_under_an_alias_the_models_value_changes_besides(case: str) -> None:
    body, expected, _ = CHAT[case]
    sent, _, _, _ = await through(body, models={"m": "real"})
    assert sent == (expected or body).replace('"m"', '"real"', 1)


@pytest.mark.parametrize(("provider", "field"), [("vllm", "reasoning"), ("sglang", "reasoning_content")])
async def test_earlier_thoughts_go_back_under_the_name_the_server_knows(provider: str, field: str) -> None:
    other = "reasoning" if field == "reasoning_content" else "reasoning_content"
    turn = f'{{"role":"assistant","content":"a","{other}" : "hm \\u0041"}}'
    body = f'{{"model":"m","messages":[{turn},{{"role":"user","content":"{other}"}}]}}'
    sent, _, _, _ = await through(body, provider=provider)
    assert sent == body.replace(f'"{other}" :', f'"{field}" :')


async def test_usage_is_not_asked_of_a_server_that_cannot_tell() -> None:
    body = f'{{"model":"m",{HI},"stream":true,"stream_options":{{"include_usage":true}}}}'
    sent, warnings, _, _ = await through(body, answer=chat_stream("Hi"), stream_usage=False)
    assert sent == f'{{"model":"m",{HI},"stream":true}}'
    assert warnings == "stream_options;warn"


async def test_a_patched_stream_comes_back_byte_for_byte() -> None:
    body = f'{{"model":"m",{HI},"stream":true,"store":true,"stream_options":{{"include_usage":true}}}}'
    sent, _, _, data = await through(body, answer=chat_stream(("Hé", "llo")))
    assert sent == f'{{"model":"m",{HI},"stream":true,"stream_options":{{"include_usage":true}}}}'
    _, _, _, plain = await through(body, provider="openai", answer=chat_stream(("Hé", "llo")))
    assert data == plain


CUSTOM = '"tools":[{"type":"custom","custom":{"name":"patch","description":"d"}}]'


async def test_a_free_text_tool_takes_the_way_of_a_translation_and_comes_back_as_one() -> None:
    """Where a patch is not enough: the tool is a function to the server, and its call a custom one to the caller."""
    call = {"id": "call_1", "type": "function", "function": {"name": "patch", "arguments": '{"input":"*** go"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    sent, warnings, status, data = await through(f'{{"model":"m",{HI},{CUSTOM}}}', answer=Answer.json(answer))
    assert status == 200
    assert json.loads(sent)["tools"][0]["type"] == "function"
    assert warnings == "tools.custom;emulate"
    (got,) = json.loads(data)["choices"][0]["message"]["tool_calls"]
    assert (got["type"], got["custom"]) == ("custom", {"name": "patch", "input": "*** go"})


async def test_a_name_given_twice_where_a_patch_is_due_is_translated() -> None:
    sent, _, status, _ = await through(f'{{"model":"m",{HI},"store":true,"x":1,"x":2}}')
    assert status == 200
    assert json.loads(sent) == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "x": 2}


SEARCH = '{"type":"web_search_20250305","name":"web_search"}'
BASH = '{"type":"bash_20250124","name":"bash"}'
MINE = '{"name":"mine", "input_schema":{"type":"object" }}'
ASK = '"max_tokens":9,"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    ("before", "after"), [(f"{SEARCH}, {MINE}", MINE), (f"{MINE} , {SEARCH}", MINE), (f"{MINE},{MINE}", None)]
)
async def test_messages_loses_a_tool_that_nobody_would_run(before: str, after: str | None) -> None:
    body = f'{{"model":"m",{ASK},"tools":[{before}],"x":1.0}}'
    sent, warnings, _, _ = await through(body, "messages", "vllm")
    assert sent == body.replace(before, after or before)
    assert warnings == ("tools.offered;warn" if after else "")
    assert (await through(body, "messages", "anthropic"))[0] == body


async def test_messages_that_are_about_such_a_tool_are_refused_and_others_translated() -> None:
    _, _, status, data = await through(f'{{"model":"m",{ASK},"tools":[{SEARCH}]}}', "messages", "vllm")
    assert status == 400
    assert "tools.0" in data or "provider" in data
    sent, _, status, _ = await through(f'{{"model":"m",{ASK},"tools":[{BASH}]}}', "messages", "vllm")
    assert status == 200
    assert json.loads(sent)["tools"][0]["input_schema"]["type"] == "object"


RESPONSES = {
    "nothing": ('{"model":"m", "input":"hi" ,"store":false,"text":{ }}', None, ""),
    "metadata": (
        '{"metadata":{"a":"b"},"model":"m","input":"hi","store":false}',
        '{"model":"m","input":"hi","store":false}',
        "metadata;warn",
    ),
    "extras": (
        '{"prompt_cache_key":"k","model":"m","input":"hi","store":false,"text":{"verbosity":"low","format":{"type":"text"}}}',
        '{"model":"m","input":"hi","store":false,"text":{"format":{"type":"text"}}}',
        "",
    ),
    "strict": (
        '{"model":"m","input":[{"role":"user","content":"hi"}],"tools":[{"type":"function","name":"f","strict":true}]}',
        '{"model":"m","input":[{"role":"user","content":"hi"}],"tools":[{"type":"function","name":"f"}]}',
        "strict;warn",
    ),
}


@pytest.mark.parametrize("case", RESPONSES)
async def test_responses_changes_what_must_be_and_no_byte_more(case: str) -> None:
    body, expected, warnings = RESPONSES[case]
    sent, said, status, _ = await through(body, "responses", "vllm")
    assert (status, sent, said) == (200, expected or body, warnings)
    assert (await through(body, "responses", "openai"))[0] == body


async def test_a_custom_tool_reaches_a_responses_server_without_them_as_a_function() -> None:
    body = '{"model":"m","input":"hi","tools":[{"type":"custom","name":"apply_patch"}]}'
    sent, warnings, status, _ = await through(body, "responses", "vllm")
    assert status == 200
    assert json.loads(sent)["tools"][0]["type"] == "function"
    assert warnings == "custom_tool;emulate"


@pytest.mark.parametrize("bad", ['"tools":[1]', '"tools":{}', '"messages":[1,2]', '"tool_choice":{"type":5}'])
async def test_what_is_wrong_with_a_body_is_left_to_the_upstream(bad: str) -> None:
    body = (
        f'{{"model":"m",{HI},"store":true,{bad}}}' if "messages" not in bad else f'{{"model":"m","store":true,{bad}}}'
    )
    sent, _, status, _ = await through(body)
    assert status == 200
    assert sent in (body, body.replace('"store":true,', ""))


async def test_explaining_names_the_mode() -> None:
    target = {"provider": "vllm", "base_url": "http://localhost:1/v1"}
    gate = Gateway(
        {"targets": {"up": target, "o": {"provider": "openai", "api_key": "k"}}, "auth": {"anonymous": True}}
    )
    assert gate.explain("m", "chat", "up").legs[0].mode == "patched"
    assert gate.explain("m", "chat", "o").legs[0].mode == "verbatim"
    assert gate.explain("m", "messages", "o").legs[0].mode == "translated"
