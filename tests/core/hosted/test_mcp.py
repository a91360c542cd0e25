"""MCP servers whose tools the gateway runs, for models that only know functions."""

import json
from itertools import pairwise
from typing import Any

import anthropic
import openai
import pytest

from asgi_llm import Identity
from asgi_llm.testing import Call, ScriptedUpstream, Tokens, chat_error, chat_stream

DIALECTS = ["chat", "messages", "gemini", "responses"]
SUM = Call("sums__add", '{"a": 1, "b": 2}', "call_1")


def servers(url: str, **rules: Any) -> dict[str, Any]:
    return {"servers": {"sums": {"url": url, **rules}}}


def tool(**said: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "sums", "require_approval": "never", **said}


async def asked(client: Any, stream: bool, **request: Any) -> tuple[Any, list[Any]]:
    """The response, and the events where it was streamed, as the SDK reads them."""
    if not stream:
        return await client.responses.create(model="m", **request), []
    async with client.responses.stream(model="m", **request) as stream_:
        events = [event async for event in stream_]
        response = await stream_.get_final_response()
    return response, events


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_over_every_upstream(open_sdk: Any, speaks: Any, mcp_url: str, dialect: str, stream: bool) -> None:
    model = speaks(
        dialect,
        {"calls": [SUM], "tokens": Tokens(input=10, output=5)},
        {"text": "It is 3.", "tokens": Tokens(input=20, output=7)},
    )
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, dialect, mcp=servers(mcp_url))
        response, events = await asked(client, stream, input="1 + 2?", tools=[tool()])
        assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
        listed, call, _ = response.output
        assert [one.name for one in listed.tools] == ["add", "fail", "long", "who"]
        assert (call.name, call.server_label, call.output, call.status) == ("add", "sums", "3", "completed")
        assert json.loads(call.arguments) == {"a": 1, "b": 2}
        assert response.output_text == "It is 3."
        assert (response.usage.input_tokens, response.usage.output_tokens) == (30, 12)
        assert response.tools[0].type == "mcp"
        first, second = upstream.requests
        assert "sums__add" in first.body.decode()
        assert '"mcp"' not in first.body.decode()
        assert first.json.get("max_tokens") == second.json.get("max_tokens")
        if stream:
            kinds = [event.type for event in events]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert [kind for kind in kinds if "mcp" in kind] == [
                "response.mcp_list_tools.in_progress",
                "response.mcp_list_tools.completed",
                "response.mcp_call.in_progress",
                "response.mcp_call_arguments.delta",
                "response.mcp_call_arguments.done",
                "response.mcp_call.completed",
            ]
            assert kinds.count("response.completed") == 1
            assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_next_turn_continues_what_was_said(open_sdk: Any, speaks: Any, mcp_url: str, dialect: str) -> None:
    """What the upstream is sent begins with what it was sent before, tools' rounds included."""
    two = [SUM, Call("sums__add", '{"a": 3, "b": 4}', "call_2")]
    model = speaks(dialect, {"calls": two}, {"calls": [SUM]}, {"text": "3, 7, 3."}, {"text": "Yes."})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, dialect, mcp=servers(mcp_url))
        first, _ = await asked(client, True, input="Add.", tools=[tool()])
        assert [item.type for item in first.output] == ["mcp_list_tools", *["mcp_call"] * 3, "message"]
        again, _ = await asked(client, False, input="Sure?", tools=[tool()], previous_response_id=first.id, store=False)
        assert [item.type for item in again.output] == ["message"]
        key = {"chat": "messages", "messages": "messages", "gemini": "contents", "responses": "input"}[dialect]
        sent = [request.json for request in upstream.requests]
        histories = [[without_marks(turn) for turn in one[key]] for one in sent]
        for earlier, later in pairwise(histories):
            assert later[: len(earlier)] == earlier
        assert [without_marks(one["tools"]) for one in sent[1:]] == [without_marks(sent[0]["tools"])] * 3
        # The same without a store: the items are sent back by the caller.
        items = [item.model_dump(exclude_none=True) for item in first.output]
        model.rounds = [{"text": "Yes."}]
        message = {"role": "user", "content": "Add."}
        await asked(client, False, input=[message, *items, {"role": "user", "content": "Sure?"}], tools=[tool()])
        assert [without_marks(turn) for turn in upstream.requests[-1].json[key]] == histories[-1]


def without_marks(value: Any) -> Any:
    """Without what moves along with the end of a conversation."""
    if isinstance(value, dict):
        return {key: without_marks(one) for key, one in value.items() if key != "cache_control"}
    return [without_marks(one) for one in value] if isinstance(value, list) else value


async def test_calls_of_the_callers_own_are_its_turn(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    model = speaks("chat", {"calls": [Call("mine", "{}", "call_9"), SUM]}, {"text": "Good."})
    mine = {"type": "function", "name": "mine", "parameters": {"type": "object", "properties": {}}}
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        first, _ = await asked(client, True, input="Both.", tools=[tool(), mine])
        assert [item.type for item in first.output] == ["mcp_list_tools", "function_call", "mcp_call"]
        assert len(upstream.requests) == 1
        answer = {"type": "function_call_output", "call_id": "call_9", "output": "mine said"}
        second, _ = await asked(client, False, input=[answer], previous_response_id=first.id, tools=[tool(), mine])
        assert second.output_text == "Good."
        said = upstream.requests[1].json["messages"]
        assert [turn["role"] for turn in said] == ["user", "assistant", "tool", "tool"]
        assert sorted(turn["content"] for turn in said[2:]) == ["3", "mine said"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("approve", [False, True])
async def test_approval(open_sdk: Any, speaks: Any, mcp_url: str, approve: bool, stream: bool) -> None:
    model = speaks("chat", {"calls": [SUM]}, {"text": "So be it."}, {"text": "More."})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        careful = tool(require_approval="always")
        first, _ = await asked(client, stream, input="1 + 2?", tools=[careful])
        assert [item.type for item in first.output] == ["mcp_list_tools", "mcp_approval_request"]
        assert first.status == "completed"
        request = first.output[1]
        assert (request.name, json.loads(request.arguments)) == ("add", {"a": 1, "b": 2})
        given = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
        second, _ = await asked(client, stream, input=[given], previous_response_id=first.id, tools=[careful])
        types = [item.type for item in second.output]
        assert types == (["mcp_call", "message"] if approve else ["message"])
        if approve:
            assert (second.output[0].output, second.output[0].approval_request_id) == ("3", request.id)
        said = upstream.requests[1].json["messages"]
        assert [turn["role"] for turn in said] == ["user", "assistant", "tool"]
        assert said[2]["content"].endswith("3" if approve else "The user did not approve this call.")
        # Nothing is called twice, and what was said stays as it was.
        third, _ = await asked(client, stream, input="And?", previous_response_id=second.id, tools=[careful])
        assert [item.type for item in third.output] == ["message"]
        assert upstream.requests[2].json["messages"][:3] == said


@pytest.mark.parametrize(
    ("rule", "wish", "asks"),
    [
        (None, None, True),
        (None, "never", False),
        ("never", None, False),
        ("never", "always", True),
        ("always", "never", True),
        (None, {"never": {"tool_names": ["add"]}}, False),
        (None, {"never": {"tool_names": ["fail"]}}, True),
        (None, {"never": {"read_only": True}}, False),
        (None, {"always": {"tool_names": ["add"]}, "never": {"tool_names": ["add"]}}, True),
    ],
)
async def test_who_decides_whether_to_ask(
    open_sdk: Any, speaks: Any, mcp_url: str, rule: Any, wish: Any, asks: bool
) -> None:
    async with ScriptedUpstream(speaks("chat", {"calls": [SUM]})) as upstream:
        rules = {} if rule is None else {"require_approval": rule}
        client = await open_sdk(upstream, mcp=servers(mcp_url, **rules))
        definition = {"type": "mcp", "server_label": "sums"} | ({} if wish is None else {"require_approval": wish})
        response, _ = await asked(client, False, input="1 + 2?", tools=[definition])
        assert (response.output[1].type == "mcp_approval_request") is asks


@pytest.mark.parametrize(
    ("rule", "wish", "left"),
    [
        (["a*"], None, ["add"]),
        ([], ["fail", "who"], ["fail", "who"]),
        (["a*"], ["fail"], []),
        ([], {"read_only": True}, ["add"]),
    ],
)
async def test_which_tools_are_there(
    open_sdk: Any, speaks: Any, mcp_url: str, rule: Any, wish: Any, left: list[str]
) -> None:
    async with ScriptedUpstream(speaks("chat")) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url, allowed_tools=rule))
        response, _ = await asked(client, False, input="x", tools=[tool(allowed_tools=wish)])
        assert [one.name for one in response.output[0].tools] == left
        sent = upstream.requests[0].json.get("tools", [])
        assert [one["function"]["name"] for one in sent] == [f"sums__{name}" for name in left]


async def test_what_fails_is_told_to_model_and_caller(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    calls = [Call("sums__fail", "{}", "c1"), Call("sums__add", '{"a": "x"}', "c2"), Call("sums__add", "[", "c3")]
    async with ScriptedUpstream(speaks("chat", {"calls": calls}, {"text": "Sorry."})) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        response, events = await asked(client, True, input="x", tools=[tool()])
        assert [item.status for item in response.output[1:4]] == ["failed"] * 3
        assert response.output[1].error.type == "mcp_tool_execution_error"
        assert response.output[3].error.type == "mcp_protocol_error"
        assert response.output_text == "Sorry."
        assert [event.type for event in events].count("response.mcp_call.failed") == 3
        told = [turn["content"] for turn in upstream.requests[1].json["messages"] if turn["role"] == "tool"]
        assert len(told) == 3
        assert "secret inside" not in str(told)


async def test_results_are_bounded(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    model = speaks("chat", {"calls": [Call("sums__long", '{"size": 50000}', "c1")]})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url), max_result=1024)
        response, _ = await asked(client, False, input="x", tools=[tool()])
        assert len(response.output[1].output) < 1100


async def test_rounds_are_bounded(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    """A model that calls for ever is told to answer in the end, and if it does not, the answer ends."""
    async with ScriptedUpstream(speaks("chat", *[{"calls": [SUM]}] * 9)) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url), rounds=2)
        response, _ = await asked(client, True, input="x", tools=[tool()], tool_choice="required")
        assert response.status == "completed"
        choices = [request.json.get("tool_choice") for request in upstream.requests]
        assert choices == ["required", None, "none"]


async def test_max_tool_calls(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    async with ScriptedUpstream(speaks("chat", {"calls": [SUM, SUM]}, {"text": "Enough."})) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        response, _ = await asked(client, False, input="x", tools=[tool()], max_tool_calls=1)
        assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
        assert response.max_tool_calls == 1
        told = [turn["content"] for turn in upstream.requests[1].json["messages"] if turn["role"] == "tool"]
        assert told[0] == "3"
        assert "No more tools" in told[1]


async def test_a_later_round_that_fails_breaks_the_answer_off(open_sdk: Any, mcp_url: str) -> None:
    async with ScriptedUpstream() as upstream:
        upstream.push(chat_stream(calls=[SUM]))
        upstream.push(chat_error(400, "no more"))
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        stream = await client.responses.create(model="m", input="x", tools=[tool()], stream=True)
        events = [event async for event in stream]
        assert (events[-1].type, events[-1].response.status) == ("response.failed", "failed")
        assert [item.type for item in events[-1].response.output][:2] == ["mcp_list_tools", "message"]


@pytest.mark.parametrize(
    ("definition", "status", "code"),
    [
        ({"server_label": "other"}, 403, "mcp_server_not_allowed"),
        ({"server_label": "x", "server_url": "http://127.0.0.1:8/mcp"}, 403, "mcp_server_not_allowed"),
        ({"server_label": "x", "server_url": "https://evil.example/mcp"}, 403, "mcp_server_not_allowed"),
        ({"server_label": "x", "server_url": "https://ok.example@evil.example/mcp"}, 400, "invalid_request"),
        ({"server_label": "x", "connector_id": "connector_gmail"}, 403, "mcp_server_not_allowed"),
        ({"server_label": "bad label"}, 400, "invalid_request"),
        ({"server_label": "sums", "headers": {"host": "x"}}, 400, "invalid_request"),
        ({"server_label": "sums", "authorization": "a\r\nb"}, 400, "invalid_request"),
        ({"server_label": "staff"}, 403, "mcp_server_not_allowed"),
        ({"server_label": "gone"}, 502, "mcp_server_unavailable"),
        ({"server_label": "x", "server_url": "https://localhost/mcp"}, 502, "mcp_server_unavailable"),
    ],
)
async def test_what_may_not_be_used(open_sdk: Any, mcp_url: str, definition: Any, status: int, code: str) -> None:
    known = {
        "sums": {"url": mcp_url},
        "staff": {"url": f"{mcp_url}/staff", "roles": ["staff"]},
        "gone": {"url": "http://127.0.0.1:9/mcp"},
    }
    async with ScriptedUpstream() as upstream:
        client = await open_sdk(upstream, mcp={"servers": known, "hosts": ["ok.example", "localhost"]})
        with pytest.raises(openai.APIStatusError) as raised:
            await asked(client, False, input="x", tools=[{"type": "mcp", **definition}])
        assert (raised.value.status_code, raised.value.body["code"]) == (status, code)  # type: ignore[index]
        assert "127.0.0.1" not in str(raised.value)
        assert not upstream.requests


async def test_a_server_of_the_callers(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    """Where the settings let it be gone to; what it may send is the caller's, and is repeated to nobody."""
    port = mcp_url.split(":")[2].split("/")[0]
    allowed = {"hosts": [f"127.0.0.1:{port}"], "schemes": ["http"], "addresses": ["127.0.0.0/8"]}
    model = speaks("chat", {"calls": [Call("mine__who", "{}", "c1")]})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, mcp=allowed)
        mine = tool(server_label="mine", server_url=mcp_url, authorization="t0ken", headers={"x-key": "k3y"})
        response, _ = await asked(client, True, input="x", tools=[mine])
        assert response.output[1].output == "Bearer t0ken"
        assert response.tools[0].authorization is None
        assert "k3y" not in response.model_dump_json()
        kept = await client.responses.retrieve(response.id)
        assert "t0ken" not in kept.tools[0].model_dump_json()


async def test_the_settings_headers_win(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    rules = {"headers": {"Authorization": "Bearer own"}, "roles": ["staff"]}
    model = speaks("chat", {"calls": [Call("sums__who", "{}", "c1")]})
    async with ScriptedUpstream(model) as upstream:
        staff = Identity(subject="bo", tenant="acme", roles=("staff",))
        client = await open_sdk(upstream, mcp=servers(mcp_url, **rules), identity=staff)
        response, _ = await asked(client, False, input="x", tools=[tool(authorization="theirs")])
        assert response.output[1].output == "Bearer own"


async def test_in_the_background(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    model = speaks("chat", {"calls": [SUM]}, {"text": "3."})
    async with ScriptedUpstream(model) as upstream:
        client = await open_sdk(upstream, mcp=servers(mcp_url))
        events = [event async for event in await client.responses.create(
            model="m", input="x", tools=[tool(authorization="t0ken")], background=True, stream=True)]  # fmt: skip
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [item.type for item in events[-1].response.output] == ["mcp_list_tools", "mcp_call", "message"]
        assert "t0ken" not in "".join(event.model_dump_json() for event in events)


async def test_the_origin_runs_them_itself(open_sdk: Any, speaks: Any, mcp_url: str) -> None:
    async with ScriptedUpstream(speaks("responses", {"text": "By myself."})) as upstream:
        up = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "dialects": ["responses"]}
        client = await open_sdk(upstream, mcp=servers(mcp_url), more={"targets": {"up": up}})
        definition = tool(server_url="https://anywhere.example/mcp")
        await asked(client, False, input="x", tools=[definition])
        assert upstream.requests[0].json["tools"] == [definition]


async def test_switched_off_it_is_refused(open_sdk: Any) -> None:
    async with ScriptedUpstream() as upstream:
        client = await open_sdk(upstream)
        with pytest.raises(openai.BadRequestError) as raised:
            await asked(client, False, input="x", tools=[tool(server_url="https://x.example/mcp")])
        assert raised.value.param == "tools[0].type"


def toolset(url: str | None, **more: Any) -> dict[str, Any]:
    """A request of Messages for the tools of a server."""
    server = {"type": "url", "name": "sums"} | ({} if url is None else {"url": url})
    return {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "1 + 2?"}],
        "tools": [{"type": "mcp_toolset", "mcp_server_name": "sums", **more}],
        "mcp_servers": [server],
        "betas": ["mcp-client-2025-11-20"],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
async def test_for_callers_of_messages(open_sdk: Any, speaks: Any, mcp_url: str, dialect: str, stream: bool) -> None:
    model = speaks(dialect, {"calls": [SUM]}, {"text": "It is 3."}, {"text": "As I said."})
    async with ScriptedUpstream(model) as upstream:
        # An upstream that is Anthropic asks servers itself.
        provider = {"messages": "vllm"}.get(dialect)
        target = {"provider": provider, "base_url": f"{upstream.url}/v1", "dialects": [dialect]}
        more = None if provider is None else {"targets": {"up": target}}
        client = await open_sdk(upstream, dialect, library=anthropic.AsyncAnthropic, more=more, mcp=servers(mcp_url))
        request = toolset(None)
        if stream:
            async with client.beta.messages.stream(**request) as events:
                message = await events.get_final_message()
        else:
            message = await client.beta.messages.create(**request)
        use, result, text = message.content
        assert (use.type, use.name, use.server_name, use.input) == ("mcp_tool_use", "add", "sums", {"a": 1, "b": 2})
        assert (result.type, result.tool_use_id, result.is_error) == ("mcp_tool_result", use.id, False)
        assert result.content[0].text == "3"
        assert (text.text, message.stop_reason) == ("It is 3.", "end_turn")
        said = [block.model_dump(exclude_none=True) for block in message.content]
        request["messages"] += [{"role": "assistant", "content": said}, {"role": "user", "content": "Sure?"}]
        again = await client.beta.messages.create(**request)
        assert again.content[-1].text == "As I said."
        assert "mcp_servers" not in upstream.requests[2].json
        if dialect != "gemini":  # these blocks have no place for its proofs of thought
            history = "input" if dialect == "responses" else "messages"
            before, after = (request.json[history] for request in upstream.requests[1:])
            assert after[: len(before)] == before


@pytest.mark.parametrize(
    ("url", "more", "rules", "status"),
    [
        (None, {"default_config": {"enabled": False}, "configs": {"add": {"enabled": True}}}, {}, 200),
        (None, {"configs": {"add": {"enabled": False}}}, {}, 200),
        (None, {}, {"require_approval": "always"}, 403),
        ("https://elsewhere.example/mcp", {}, {}, 403),
        (None, {"mcp_server_name": "other"}, {}, 400),
        (None, {"configs": 5}, {}, 400),
    ],
)
async def test_what_callers_of_messages_may_use(
    open_sdk: Any, speaks: Any, mcp_url: str, url: Any, more: Any, rules: Any, status: int
) -> None:
    async with ScriptedUpstream(speaks("chat", {"text": "Hm."})) as upstream:
        client = await open_sdk(upstream, library=anthropic.AsyncAnthropic, mcp=servers(mcp_url, **rules))
        request = toolset(url, **more)
        if status != 200:
            with pytest.raises(anthropic.APIStatusError) as refused:
                await client.beta.messages.create(**request)
            assert refused.value.status_code == status
            assert not upstream.requests
            return
        await client.beta.messages.create(**request)
        names = {tool["function"]["name"] for tool in upstream.requests[0].json.get("tools", [])}
        assert ("sums__add" in names) == ("default_config" in more)
        assert ("default_config" in more) == (len(names) == 1)
