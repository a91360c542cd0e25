"""Guards made of settings, over every dialect, streamed or not."""

import json
import os
import re
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseIncompleteEvent

from asgi_llm import ConfigError, Gateway, Identity, Settings
from asgi_llm.guards.finding import Forbidden, Window, redact
from asgi_llm.guards.patterns import pattern_finder
from asgi_llm.guards.personal import installed
from asgi_llm.settings import PatternSettings
from asgi_llm.testing import Answer, Call

ALL = ("chat", "messages", "responses", "gemini")
every = pytest.mark.parametrize("caller", ALL)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
spoken_by = pytest.mark.parametrize("spoken", ["chat", "messages", "responses", "gemini"])
KEYS = {"name": "keys", "kind": "patterns", "rules": [{"pattern": r"sk-[a-z0-9]{4,8}\b", "replacement": "[key]"}]}
BLOCK = {"name": "block", "kind": "patterns", "rules": [{"pattern": "(?i)project x", "action": "block"}]}


@every
@streamed
@spoken_by
async def test_text_is_redacted_across_the_borders_of_pieces(
    world: Any, caller: str, stream: bool, spoken: str
) -> None:
    up = await world(spoken, guards=[KEYS])
    up.says("The key is s", "k-ab", "12", "cd. Again: ", "sk-zzzz", stream=stream)
    got = await up.ask(caller, stream=stream)
    assert (got.text, got.finish) == ("The key is [key]. Again: [key]", "end")
    assert b"zzzz" not in got.data


@every
@streamed
@spoken_by
async def test_arguments_of_tools_are_redacted_with_their_escapes(
    world: Any, caller: str, stream: bool, spoken: str
) -> None:
    up = await world(spoken, guards=[KEYS])
    up.says("", stream=stream, calls=[Call("send", r'{"to":"ann","text":"use s\u006b-ab12cd"}')])
    got = await up.ask(caller, stream=stream)
    assert [json.loads(call) for call in got.calls] == [{"to": "ann", "text": "use [key]"}]
    assert b"ab12cd" not in got.data


@every
@streamed
async def test_thoughts_are_redacted(world: Any, caller: str, stream: bool) -> None:
    up = await world("messages", guards=[KEYS])
    up.says("done", stream=stream, reasoning="I know sk-ab12cd, do I not?")
    got = await up.ask(caller, stream=stream)
    assert b"ab12cd" not in got.data
    assert got.text == "done"


@every
@streamed
async def test_a_blocked_answer_ends_as_a_filtered_one(world: Any, caller: str, stream: bool) -> None:
    up = await world("chat", guards=[{**BLOCK, "message": "not that", "code": "secret_project"}])
    up.says("It is called Pro", "ject X, ", "since you ask", stream=stream)
    got = await up.ask(caller, stream=stream)
    assert got.status == 200
    assert "roject" not in got.text
    assert got.finish in ("filtered", "refusal")
    assert (up.settled[0].outcome, up.settled[0].error_code) == ("denied", "secret_project")


@every
@streamed
async def test_a_blocked_request_goes_nowhere(world: Any, caller: str, stream: bool) -> None:
    up = await world("chat", guards=[BLOCK])
    got = await up.ask(caller, "Tell me of PROJECT X", stream=stream)
    assert (got.status, got.headers["x-llm-error-code"]) == (400, "blocked_by_guard")
    assert "block" in got.data.decode()
    assert not up.upstream.requests


@every
@pytest.mark.parametrize("spoken", ["chat", "messages"])
async def test_requests_are_redacted_wherever_there_is_text(world: Any, caller: str, spoken: str) -> None:
    key = "sk-ab12cd"
    text = {"type": "text", "text": key}
    function = {"name": "f", "arguments": json.dumps({"a": [key]})}
    said: dict[str, dict[str, Any]] = {
        "chat": {
            "messages": [
                {"role": "system", "content": key},
                {"role": "user", "content": [text]},
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": "c", "content": f"<{key}>"},
            ],
        },
        "messages": {
            "system": key,
            "messages": [
                {"role": "user", "content": key},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": [key]}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [text]}]},
            ],
        },
        "responses": {
            "instructions": key,
            "input": [
                {"role": "user", "content": key},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": json.dumps({"a": key})},
                {"type": "function_call_output", "call_id": "c", "output": key},
            ],
        },
        "gemini": {
            "systemInstruction": {"parts": [{"text": key}]},
            "contents": [
                {"role": "user", "parts": [{"text": key}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": key}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": key}}}]},
            ],
        },
    }  # fmt: skip
    up = await world(spoken, guards=[KEYS])
    up.says("ok")
    got = await up.ask(caller, **said[caller])
    assert got.status == 200, got.data
    asked = up.upstream.requests[0].body.decode()
    assert "ab12cd" not in asked
    assert asked.count("[key]") == 4


async def test_bytes_pass_untouched_where_nothing_is_found(world: Any) -> None:
    up = await world("chat", guards=[{**KEYS, "answers": False}])
    up.says("sk-ab12cd")
    got = await up.ask("chat", unknown=[1.0])
    assert got.text == "sk-ab12cd"
    assert up.asked() == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "unknown": [1.0]}


async def test_endpoints_that_are_no_dialects_are_guarded_too(world: Any) -> None:
    echo = {"targets": {"echo": {"provider": "echo"}}, "routes": [{"model": "*", "target": "echo"}]}
    up = await world("chat", guards=[KEYS, BLOCK], **echo)
    blocked = await up.send("chat", "/v1/embeddings", {"model": "e", "input": ["fine", "project x"]})
    assert blocked.status == 400
    got = await up.send("chat", "/v1/completions", {"model": "e", "prompt": "say sk-ab12cd"})
    assert (got.status, b"ab12cd" in got.data) == (200, False)
    assert b"[key]" in got.data
    streaming = await up.send("chat", "/v1/completions", {"model": "e", "prompt": "hi", "stream": True})
    assert (streaming.status, streaming.headers["x-llm-error-code"]) == (400, "answer_not_seen")


@pytest.mark.parametrize(("endpoints", "status"), [([], 400), (["chat*"], 200)])
async def test_an_answer_that_cannot_be_looked_at_is_no_way_round(world: Any, endpoints: Any, status: int) -> None:
    """Nobody asked for this stream."""
    up = await world("chat", guards=[{**KEYS, "endpoints": endpoints}])
    up.push(Answer.sse([{"choices": [{"text": "sk-ab12cd"}]}]))
    got = await up.send("chat", "/v1/completions", {"model": "m", "prompt": "hi"})
    assert (got.status, b"ab12cd" in got.data) == (status, status == 200)


async def test_a_guard_is_about_those_it_names(world: Any) -> None:
    guard = {**BLOCK, "models": ["big-*"], "not_roles": ["admin"], "tenants": ["acme"], "endpoints": ["chat*"]}
    up = await world("chat", guards=[guard])
    ann, root = Identity(subject="ann", tenant="acme"), Identity(subject="root", tenant="acme", roles=("admin",))
    assert (await up.ask("chat", "project x", identity=ann, model="big-one")).status == 400
    for identity, model in ((root, "big-one"), (ann, "small"), (Identity(subject="eve"), "big-one")):
        up.says("ok")
        assert (await up.ask("chat", "project x", identity=identity, model=model)).status == 200


@every
@pytest.mark.parametrize("replace", [False, True])
async def test_words_around_every_conversation(world: Any, caller: str, replace: bool) -> None:
    guard = {
        "name": "t",
        "kind": "template",
        "prefix": "You serve {tenant}.",
        "suffix": "Be brief.",
        "replace": replace,
    }
    up = await world("chat", guards=[guard])
    up.says("ok")
    own: Any = {
        "chat": {"messages": [{"role": "system", "content": "Own."}, {"role": "user", "content": "hi"}]},
        "messages": {"system": "Own."},
        "responses": {"instructions": "Own."},
        "gemini": {"systemInstruction": {"parts": [{"text": "Own."}]}},
    }
    await up.ask(caller, identity=Identity(subject="ann", tenant="acme"), **own[caller])
    told = json.dumps([m["content"] for m in up.asked()["messages"] if m["role"] in ("system", "developer")])
    assert "You serve acme." in told
    assert told.index("You serve") < told.index("Be brief.")
    assert ("Own." in told) is not replace


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"max_turns": 1}, 400), ({"max_turns": 2}, 200), ({"max_text": 9}, 400), ({"max_total": 11}, 400),
     ({"max_text": 10, "max_total": 12}, 200), ({"max_tools": 0}, 400)],
)  # fmt: skip
async def test_limits_on_what_a_conversation_may_hold(world: Any, limits: Any, status: int) -> None:
    up = await world("messages", guards=[{"name": "l", "kind": "limits", **limits}])
    if status == 200:
        up.says("ok")
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    assert (await up.ask("messages", "é" * 10, system="12", tools=tools)).status == status


@every
@streamed
async def test_a_model_is_asked_whether_a_request_may_pass(world: Any, caller: str, stream: bool) -> None:
    """The echo says what it was asked; what it is asked is not asked about again."""
    guard = {"name": "c", "kind": "classifier", "target": "judge", "model": "j", "protocol": "chat", "blocks": "evil"}
    up = await world("chat", guards=[guard, BLOCK], targets={"judge": {"provider": "echo"}})
    assert (await up.ask(caller, "evil things", stream=stream)).status == 400
    up.says("ok", stream=stream)
    assert (await up.ask(caller, "good things", stream=stream)).text == "ok"


@streamed
async def test_and_whether_an_answer_may(world: Any, stream: bool) -> None:
    guard = {"name": "c", "kind": "classifier", "target": "judge", "model": "j", "protocol": "chat", "blocks": "evil",
             "requests": False, "answers": True}  # fmt: skip
    up = await world("chat", guards=[guard], targets={"judge": {"provider": "echo"}})
    up.says("some ev", "il thing", stream=stream)
    got = await up.ask("messages", stream=stream)
    assert b"thing" not in got.data
    up.says("some good ", "thing", stream=stream)
    assert (await up.ask("messages", stream=stream)).text == "some good thing"


@pytest.mark.parametrize(("policy", "status"), [("open", 200), ("closed", 503)])
async def test_a_classifier_that_does_not_answer(world: Any, policy: str, status: int) -> None:
    guard = {"name": "c", "kind": "classifier", "target": "judge", "model": "j", "on_failure": policy}
    dead = {"provider": "openai", "base_url": "http://127.0.0.1:9", "api_key": "k", "retry": {"attempts": 1}}
    up = await world("chat", guards=[guard], targets={"judge": dead})
    if status == 200:
        up.says("ok")
    assert (await up.ask("chat")).status == status


async def test_the_endpoint_for_moderations_is_asked(world: Any) -> None:
    guard = {"name": "c", "kind": "classifier", "target": "up", "model": "m"}
    up = await world("chat", guards=[guard])
    up.push(Answer.json({"id": "x", "model": "m", "results": [{"flagged": True, "categories": {}}]}))
    assert (await up.ask("chat", "something")).status == 400
    assert up.asked() == {"model": "m", "input": "something"}


needs_pii = pytest.mark.skipif(not installed() and not os.environ.get("CI"), reason="the extra pii is not installed")
PERSONAL = {"name": "p", "kind": "personal_data", "find": ["email", "phone", "card", "iban", "ip"], "region": "DE"}


@needs_pii
@every
@streamed
async def test_personal_data_is_redacted(world: Any, caller: str, stream: bool) -> None:
    up = await world("chat", guards=[PERSONAL])
    up.says("Write to ann@exam", "ple.org or 030 1234", "5678, pay 4111 1111 1111 1111 or ", "DE89 3704 0044 0532 ",
            "0130 00 from 10.0.0.1; order 4111 1111 1111 1112.", stream=stream)  # fmt: skip
    got = await up.ask(caller, stream=stream)
    assert got.text == "Write to [email] or [phone], pay [card] or [iban] from [ip]; order 4111 1111 1111 1112."


RULES = pattern_finder(
    [
        PatternSettings(pattern=r"\bsk-[ab]{2,4}\b", replacement="[key]"),
        PatternSettings(pattern=r"cat", replacement="dog", ignore_case=True),
        PatternSettings(pattern=r"a(?=-b)", replacement="A"),
    ]
)


@given(st.lists(st.text("abckst- ", max_size=9), max_size=12))
def test_a_text_in_pieces_is_redacted_as_the_whole_of_it(pieces: list[str]) -> None:
    window = Window(RULES, 10)
    assert "".join([*map(window.feed, pieces), window.end()]) == redact(RULES, "".join(pieces))


@given(st.text("ab. ", max_size=20), st.text("ab. ", max_size=20), st.integers(1, 5))
def test_what_is_blocked_is_met_in_any_pieces(before: str, after: str, size: int) -> None:
    find = pattern_finder([PatternSettings(pattern="secret", action="block")])
    text, window, out = f"{before}secret{after}", Window(find, 12), []

    def feed() -> None:
        out.extend(window.feed(text[at : at + size]) for at in range(0, len(text), size))
        out.append(window.end())

    with pytest.raises(Forbidden):
        feed()
    assert re.search("[sc]", "".join(out)) is None


@pytest.mark.parametrize(
    ("guard", "path"),
    [
        ({"name": "g", "kind": "patterns", "rules": [{"pattern": "("}]}, "guards[0].rules[0].pattern"),
        ({"name": "g", "kind": "patterns", "rules": [{"pattern": "a*"}]}, "guards[0].rules[0].pattern"),
        ({"name": "g", "kind": "patterns", "rules": []}, "guards[0]"),
        ({"name": "g", "kind": "template"}, "guards[0]"),
        ({"name": "g", "kind": "nonsense"}, "guards[0].kind"),
        ({"name": "g"}, "guards[0].kind"),
        ({"name": "g", "kind": "classifier", "target": "gone", "model": "m"}, "guards[0].target"),
    ],
)
def test_mistakes_are_told_with_their_path(guard: Any, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load({"targets": {"e": {"provider": "echo"}}, "guards": [guard]})
    assert [problem.path for problem in caught.value.problems] == [path]


def test_hooks_are_hooks() -> None:
    with pytest.raises(TypeError):
        Gateway({"targets": {"e": {"provider": "echo"}}}, hooks=[object()])  # type: ignore[list-item]  # the mistake


async def test_the_official_sdks_read_a_blocked_stream_to_its_end(world: Any) -> None:
    pieces = ("It is called Pro", "ject X, ", "since you ask")
    up = await world("chat", guards=[BLOCK])
    http = up.gateway.client()
    up.says(*pieces, stream=True)
    client = openai.AsyncOpenAI(base_url="http://gateway/v1", api_key="k", http_client=http)
    said: Any = [{"role": "user", "content": "hi"}]
    chunks = [chunk async for chunk in await client.chat.completions.create(model="m", messages=said, stream=True)]
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    up.says(*pieces, stream=True)
    events = [event async for event in await client.responses.create(model="m", input="hi", stream=True)]
    assert isinstance(events[-1], ResponseIncompleteEvent)
    assert events[-1].response.incomplete_details is not None
    assert events[-1].response.incomplete_details.reason == "content_filter"
    up.says(*pieces, stream=True)
    claude = anthropic.AsyncAnthropic(base_url="http://gateway", api_key="k", http_client=http)
    async with claude.messages.stream(model="m", max_tokens=9, messages=said) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == "refusal"
    assert b"roject" not in repr((chunks, events, message)).encode()
    await http.aclose()
