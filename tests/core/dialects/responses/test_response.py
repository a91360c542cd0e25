"""Whole answers: complete for typed clients when written, and read by what they hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import Response as SDKResponse

from asgi_llm.dialects.interface import Answer, Restore, ToolShape
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.neutral.request import Carrier, Citation, Image, Inline, Opaque, Reasoning, Refusal, Text, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

OPEN_RESPONSES_KEYS = {
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
}


def response(*parts: object, finish: Finish | None = None, **fields: object) -> Response:
    return Response(id="x", model="up", candidates=(Candidate(parts, finish or Finish("end")),), **fields)


def write(what: Response, body: dict | None = None) -> dict:
    request = RESPONSES.decode_request(json.dumps(body).encode()) if body is not None else None
    return json.loads(RESPONSES.encode_response(what, Answer(model="mine", request=request)))


def read(body: object, restore: Restore | None = None) -> Response:
    return RESPONSES.decode_response(json.dumps(body).encode(), restore or Restore())


def output(*items: dict, **fields: object) -> dict:
    return {"id": "resp_1", "object": "response", "model": "m", "status": "completed", "output": list(items), **fields}


def test_every_key_is_there_and_the_request_is_echoed():
    body = {
        "model": "mine",
        "instructions": "be brief",
        "input": "hi",
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}},
            {"type": "namespace", "name": "ns", "description": "d", "tools": [{"type": "custom", "name": "c"}]},
            {"type": "web_search", "search_context_size": "low"},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": None},
        "temperature": 0.25,
        "top_p": 0.5,
        "truncation": "auto",
        "metadata": {"k": "v"},
        "store": False,
        "max_output_tokens": 99,
        "max_tool_calls": 3,
        "safety_identifier": "u",
        "prompt_cache_key": "key",
    }
    written = write(response(Text("hello"), usage=Usage(fresh=1, visible=2), created=1700000000), body)
    assert set(written) >= OPEN_RESPONSES_KEYS
    for name in set(body) - {"model", "input", "tools"}:
        assert written[name] == body[name]
    assert written["tools"][0] == {**body["tools"][0], "description": None, "strict": None}
    assert written["tools"][1:] == body["tools"][1:]
    assert (written["model"], written["created_at"], written["status"]) == ("mine", 1700000000, "completed")
    assert written["completed_at"] >= 1700000000


@pytest.mark.parametrize("body", [None, {"model": "m", "input": "hi"}])
def test_defaults_are_echoed_where_nothing_was_said(body):
    written = write(response(Text("x")), body)
    assert set(written) >= OPEN_RESPONSES_KEYS
    assert (written["tools"], written["tool_choice"], written["temperature"]) == ([], "auto", 1.0)
    assert written["text"]["format"] == {"type": "text"}
    assert written["id"].startswith("resp_")


def test_official_types_accept_every_item():
    what = response(
        Reasoning(summary=("s",), carriers=(Carrier("openai.encrypted", "e"),)),
        Text("héllo", citations=(Citation("messages", url="http://a.test"),)),
        Refusal("no"),
        ToolCall("c1", "f", '{"a":1}', namespace="ns"),
        ToolCall("c2", "p", "free", kind="text"),
        Image(Inline("image/png", "aGk=")),
        finish=Finish("tool_calls"),
        usage=Usage(fresh=1, cache_read=2, cache_write=3, visible=4, reasoning=5),
    )
    parsed = SDKResponse.model_validate(write(what, {"model": "m", "input": "x"}))
    assert parsed.output_text == "héllo"
    assert [item.type for item in parsed.output] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "image_generation_call",
    ]
    assert parsed.output[1].content[0].annotations[0].end_index == 5
    assert parsed.usage.input_tokens_details.cache_write_tokens == 3
    assert parsed.usage.total_tokens == 15


def test_own_ids_are_kept_and_foreign_ones_replaced():
    what = response(ToolCall("c1", "f", item_id="fc_9"), ToolCall("c2", "f", item_id="rs_9"), Reasoning(id="rs_7"))
    ids = [item["id"] for item in write(what)["output"]]
    assert ids[0] == "fc_9"
    assert ids[1].startswith("fc_")
    assert ids[2] == "rs_7"


def test_log_probabilities_are_written_in_this_apis_form():
    what = Response(
        id="",
        model="",
        candidates=(Candidate((Text("a"),), Finish("end"), logprobs=Raw(b'{"content":[{"token":"a"}]}')),),
    )
    (part,) = write(what)["output"][0]["content"]
    assert part["logprobs"] == [{"token": "a"}]


def test_reads_all_it_wrote():
    parts = (
        Reasoning(summary=("s",), carriers=(Carrier("openai.encrypted", "e", item_id="rs_1"),), id="rs_1"),
        Text("hello"),
        ToolCall("c1", "f", '{"a":1}', item_id="fc_1"),
    )
    what = response(*parts, finish=Finish("tool_calls"), usage=Usage(fresh=1, visible=2), created=5)
    back = RESPONSES.decode_response(RESPONSES.encode_response(what, Answer(model="m")), Restore())
    assert back.candidates[0].parts == parts
    assert back.candidates[0].finish == Finish("tool_calls")
    assert (back.usage.fresh, back.usage.visible, back.created) == (1, 2, 5)


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
REFUSED = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "x"}]}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (output(SAID), "end"),
        (output(SAID, CALL), "tool_calls"),
        (output(REFUSED), "refusal"),
        (output(CALL, status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "max_tokens"),
        (output(SAID, status="incomplete", incomplete_details={"reason": "content_filter"}), "filtered"),
        (output(SAID, status="incomplete"), "other"),
    ],
)
def test_finish_follows_from_what_the_answer_holds(body, reason):
    assert read(body).candidates[0].finish.reason == reason


def test_tools_are_restored():
    shapes = {
        "short_1": ToolShape("a long name", namespace="ns"),
        "patch": ToolShape("patch", "text"),
        "bash": ToolShape("bash", typed="bash_20250124"),
    }
    items = [{**CALL, "name": name, "arguments": '{"input":"free"}'} for name in shapes]
    first, second, third = read(output(*items), Restore(shapes)).candidates[0].parts
    assert (first.name, first.namespace) == ("a long name", "ns")
    assert (second.kind, second.arguments) == ("text", "free")
    assert third.typed == "bash_20250124"


def test_unknown_items_are_kept():
    (part,) = read(output({"type": "acme:x", "y": 1})).candidates[0].parts
    assert isinstance(part, Opaque)


@pytest.mark.parametrize(
    ("body", "cause", "kind"),
    [
        (b"<html>", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"[]", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"{}", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"output":[{"type":"function_call"}]}', Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"output":7}', Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"error":{"message":"x","code":"rate_limit_exceeded"}}', Cause.IN_BAND, Kind.RATE_LIMIT),
        (b'{"status":"failed","output":[],"error":null}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b'{"status":"cancelled","output":[],"error":null}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b'{"error":"text"}', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (b'{"choices":[]}', Cause.CONTENT, Kind.BAD_GATEWAY),
    ],
)
def test_what_is_no_answer_is_an_upstream_error(body, cause, kind):
    with pytest.raises(UpstreamError) as caught:
        RESPONSES.decode_response(body, Restore())
    assert caught.value.cause is cause
    assert caught.value.kind is kind


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
wild_items = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["message", "reasoning", "function_call", "computer_call", "compaction", "x", "mcp_call"]
        )
    },
    optional=dict.fromkeys(
        ("content", "summary", "arguments", "encrypted_content", "call_id", "name", "action", "id"), values
    ),
)


@given(st.lists(wild_items | values, max_size=4), values, values)
def test_any_json_is_an_answer_or_an_upstream_error(items, usage, error):
    try:
        read(output(*items, usage=usage, error=error))
    except UpstreamError:
        return
