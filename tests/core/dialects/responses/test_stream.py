"""Streams: what is written obeys the grammar and is understood by the official SDK, what is read comes out whole."""

import itertools
import json
from collections.abc import Iterable

import httpx2 as httpx
import msgspec
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response as SDKResponse

from asgi_llm.dialects.interface import Answer, Restore, ToolShape
from asgi_llm.dialects.responses import RESPONSES
from asgi_llm.dialects.sse import SSEReader
from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    Ping,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import Grammar, fold, unfold
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Citation,
    Compaction,
    Image,
    Inline,
    Opaque,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

USAGE = Usage(fresh=30, cache_read=60, cache_write=10, visible=30, reasoning=20)


def answer(**members: object) -> Answer:
    numbers = itertools.count(1)
    return Answer(model="my-model", mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1700000000, **members)


def written(events: Iterable[Event]) -> bytes:
    encoder = RESPONSES.stream_encoder(answer())
    return encoder.feed(events)


def events_of(data: bytes) -> list[dict]:
    frames = SSEReader().feed(data)
    parsed = [json.loads(frame.data) for frame in frames]
    assert [frame.event.decode() for frame in frames] == [event["type"] for event in parsed]
    return parsed


def read(data: bytes, restore: Restore | None = None, size: int | None = None) -> list[Event]:
    decoder = RESPONSES.stream_decoder(restore or Restore())
    step = size or len(data) or 1
    found = [event for start in range(0, len(data), step) for event in decoder.feed(data[start : start + step])]
    found += decoder.end()
    grammar = Grammar()
    for event in found:
        grammar.feed(event)
    return found


def check_grammar(events: list[dict]) -> None:
    """The ladder of the Responses API, written independently of the encoder."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"]
    assert [kind for kind in kinds if kind in ("completed", "incomplete", "failed")] == [kinds[-1]]
    final = events[-1]["response"]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    assert final["status"] == kinds[-1]
    done: list[dict] = []
    item: dict | None = None
    part: dict | None = None
    text: str | None = None
    progress: list[str] = []
    for event, kind in zip(events[2:-1], kinds[2:-1], strict=True):
        if kind == "in_progress":
            continue
        if kind.partition(".")[0] in ("web_search_call", "image_generation_call"):
            assert item is not None
            assert (item["type"], item["status"]) == (kind.partition(".")[0], "in_progress")
        assert event.get("output_index") == len(done)
        if item is not None and "item_id" in event:
            assert event["item_id"] == item["id"]
        match kind:
            case "output_item.added":
                assert item is None
                item = event["item"]
                assert item["id"] not in {other["id"] for other in done}
            case "output_item.done":
                assert part is None
                assert text is None
                assert (event["item"]["type"], event["item"]["id"]) == (item["type"], item["id"])
                if item["type"] == "message":
                    assert event["item"]["content"] == item["content"]
                if item["type"] == "reasoning":
                    assert event["item"]["summary"] == item["summary"]
                if item["type"] in ("function_call", "custom_tool_call"):
                    key = "arguments" if item["type"] == "function_call" else "input"
                    assert event["item"][key] == item[key]
                    assert event["item"]["call_id"] == item["call_id"]
                if progress:
                    assert (progress[0], progress[-1], event["item"]["status"]) == ("in_progress", *["completed"] * 2)
                done.append(event["item"])
                item, progress = None, []
            case "content_part.added" | "reasoning_summary_part.added":
                assert part is None
                part, text = event["part"], ""
                listed = item["content"] if kind.startswith("content") else item["summary"]
                index = event["content_index"] if kind.startswith("content") else event["summary_index"]
                assert index == len(listed)
            case "output_text.delta" | "refusal.delta" | "reasoning_summary_text.delta":
                text += event["delta"]
            case "output_text.annotation.added":
                assert event["annotation_index"] == len(part["annotations"])
                part["annotations"].append(event["annotation"])
            case "output_text.done" | "refusal.done" | "reasoning_summary_text.done":
                assert (event.get("text") if "refusal" not in kind else event["refusal"]) == text
            case "content_part.done" | "reasoning_summary_part.done":
                key = "refusal" if part["type"] == "refusal" else "text"
                assert event["part"] == {**part, key: text}
                (item["content"] if kind.startswith("content") else item["summary"]).append(event["part"])
                part = text = None
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                item["arguments" if kind.startswith("function") else "input"] += event["delta"]
            case "function_call_arguments.done":
                assert event["arguments"] == item["arguments"]
            case "custom_tool_call_input.done":
                assert event["input"] == item["input"]
            case _ if kind.partition(".")[2] in ("in_progress", "searching", "generating", "completed"):
                progress.append(kind.partition(".")[2])
            case other:
                pytest.fail(f"an event that nobody knows: {other}")
    if kinds[-1] != "failed":
        assert item is None
    assert final["output"] == done


def sdk_final(data: bytes) -> SDKResponse:
    """What the official SDK's accumulating helper makes of the stream."""
    reply = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    client = openai.OpenAI(
        api_key="k",
        base_url="http://gateway.test/v1",
        http_client=httpx.Client(transport=httpx.MockTransport(lambda _: reply)),
    )
    with client.responses.stream(model="m", input="hi") as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


TALK: list[Event] = [
    Start("chatcmpl-1", "upstream-model"),
    BlockStart(0, Reasoning()),
    ReasoningDelta(0, "Let me "),
    ReasoningDelta(0, "think."),
    CarrierSet(0, Carrier("anthropic.signature", "c2ln")),
    BlockStop(0),
    BlockStart(1, Text("")),
    TextDelta(1, 'Hé "llo"\n'),
    TextDelta(1, "wörld"),
    CitationAdd(1, Citation("messages", url="http://a.test", title="A")),
    BlockStop(1),
    Ping(),
    BlockStart(2, ToolCall("toolu_1", "get_weather")),
    ArgumentsDelta(2, '{"city":'),
    ArgumentsDelta(2, '"Paris"}'),
    BlockStop(2),
    BlockStart(3, ToolCall("toolu_2", "apply_patch", kind="text")),
    ArgumentsDelta(3, "*** Begin"),
    BlockStop(3),
    BlockStart(4, ToolCall("toolu_3", "now")),
    BlockStop(4),
    UsageUpdate(USAGE),
    Finished(Finish("tool_calls")),
]


def test_whole_talk_obeys_the_grammar():
    events = events_of(written(TALK))
    check_grammar(events)
    final = events[-1]["response"]
    assert final["status"] == "completed"
    assert final["model"] == "my-model"
    assert [item["type"] for item in final["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "custom_tool_call",
        "function_call",
    ]
    assert final["output"][1]["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 14, "url": "http://a.test", "title": "A"}
    ]
    assert final["output"][3]["input"] == "*** Begin"
    assert final["output"][4]["arguments"] == "{}"
    assert final["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 150,
    }


def test_official_sdk_accumulates_the_talk():
    final = sdk_final(written(TALK))
    assert final.output_text == 'Hé "llo"\nwörld'
    assert final.output[2].arguments == '{"city":"Paris"}'
    assert final.usage.total_tokens == 150


def test_one_event_at_a_time_gives_the_same_bytes():
    encoder = RESPONSES.stream_encoder(answer())
    assert b"".join(encoder.feed([event]) for event in TALK) == written(TALK)


def test_json_answer_is_what_the_stream_adds_up_to():
    streamed = events_of(written(TALK))[-1]["response"]
    whole = json.loads(RESPONSES.encode_response(fold(TALK), answer()))
    assert whole == streamed


def test_what_was_written_reads_back():
    back = fold(read(written(TALK)))
    candidate = back.candidates[0]
    assert candidate.finish.reason == "tool_calls"
    kinds = [type(part).__name__ for part in candidate.parts]
    assert kinds == ["Reasoning", "Text", "ToolCall", "ToolCall", "ToolCall"]
    assert candidate.parts[0].summary == ("Let me think.",)
    assert candidate.parts[1].text == 'Hé "llo"\nwörld'
    assert candidate.parts[1].citations[0].url == "http://a.test"
    assert (candidate.parts[3].kind, candidate.parts[3].arguments) == ("text", "*** Begin")
    assert back.usage.input == 100


def test_neighbouring_texts_are_parts_of_one_message():
    data = written(unfold(Response(id="", model="", candidates=(Candidate((Text("a"), Text("b")), Finish("end")),))))
    (item,) = events_of(data)[-1]["response"]["output"]
    assert [part["text"] for part in item["content"]] == ["a", "b"]


def test_empty_answer_is_a_completed_response():
    events = events_of(written([Start("", ""), Finished(Finish("end"))]))
    check_grammar(events)
    assert [event["type"] for event in events] == ["response.created", "response.in_progress", "response.completed"]
    assert sdk_final(written([Start("", ""), Finished(Finish("end"))])).output_text == ""


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (Finish("max_tokens"), "incomplete", "max_output_tokens"),
        (Finish("context_full"), "incomplete", "max_output_tokens"),
        (Finish("filtered"), "incomplete", "content_filter"),
        (Finish("refusal"), "incomplete", "content_filter"),
        (Finish("stop_sequence"), "completed", None),
        (Finish("pause"), "completed", None),
        (Finish("other"), "completed", None),
        (Finish("malformed_call"), "failed", None),
    ],
)
def test_endings(finish, status, reason):
    events = events_of(written([BlockStart(0, Text("")), TextDelta(0, "x"), BlockStop(0), Finished(finish)]))
    check_grammar(events)
    final = events[-1]["response"]
    assert final["status"] == status
    assert (final["incomplete_details"] or {}).get("reason") == reason
    assert final["output"][0]["status"] == ("incomplete" if status == "incomplete" else "completed")


def test_explained_refusal_is_said_in_a_refusal_part():
    events = events_of(written([Start("", ""), Finished(Finish("refusal", detail="I will not."))]))
    check_grammar(events)
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("before", [[], TALK[:1], TALK[:4], TALK[:9], TALK[:-1]])
def test_failure_at_any_time_is_the_one_terminal_event(before):
    error = UpstreamError("gone", cause=Cause.RESET)
    data = written([*before, Failure(error), *TALK])
    events = events_of(data)
    check_grammar(events)
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "gone"}
    with pytest.raises(RuntimeError):
        sdk_final(data)


def test_keepalive_is_a_comment_first_and_then_a_numbered_event():
    encoder = RESPONSES.stream_encoder(answer())
    assert encoder.keepalive() == b": keep-alive\n\n"
    data = encoder.feed(TALK[:8])
    data += encoder.keepalive()
    data += encoder.feed(TALK[8:])
    check_grammar(events_of(data))
    assert sdk_final(data).output_text == 'Hé "llo"\nwörld'
    assert encoder.keepalive() == b": keep-alive\n\n"


def test_ids_of_calls_are_never_empty_nor_repeated():
    calls = [BlockStart(0, ToolCall("", "f")), BlockStop(0), BlockStart(1, ToolCall("c", "f")), BlockStop(1)]
    calls += [BlockStart(2, ToolCall("c", "f")), BlockStop(2), Finished(Finish("tool_calls"))]
    output = events_of(written(calls))[-1]["response"]["output"]
    ids = [item["call_id"] for item in output]
    assert len(set(ids)) == 3
    assert "" not in ids
    assert sdk_final(written(calls)).output


def test_typed_calls_come_back_as_their_own_items():
    patch = '{"type":"delete_file","path":"a"}'
    events = [
        BlockStart(0, ToolCall("c1", "apply_patch", typed="apply_patch")),
        ArgumentsDelta(0, patch),
        BlockStop(0),
        BlockStart(1, ToolCall("c2", "shell", typed="shell")),
        ArgumentsDelta(1, "no json"),
        BlockStop(1),
        Finished(Finish("tool_calls")),
    ]
    parsed = events_of(written(events))
    check_grammar(parsed)
    output = parsed[-1]["response"]["output"]
    assert output[0]["type"] == "apply_patch_call"
    assert output[0]["operation"] == json.loads(patch)
    assert (output[1]["type"], output[1]["arguments"]) == ("function_call", "no json")


def test_carriers_of_a_call_return_to_it():
    signature = Carrier("google.thought_signature", "c2ln", provider="gemini")
    for events in (
        [BlockStart(0, ToolCall("c1", "f", carriers=(signature,))), BlockStop(0)],
        [BlockStart(0, ToolCall("c1", "f")), CarrierSet(0, signature), BlockStop(0)],
    ):
        output = events_of(written([*events, Finished(Finish("tool_calls"))]))[-1]["response"]["output"]
        assert sorted(item["type"] for item in output) == ["function_call", "reasoning"]
        body = {"model": "m", "input": [*output, {"type": "function_call_output", "call_id": "c1", "output": ""}]}
        turn = RESPONSES.decode_request(json.dumps(body).encode()).turns[0]
        assert turn.parts[0].carriers == (signature,)
        assert len(turn.parts) == 1


def test_another_providers_thought_returns_with_its_proof():
    output = events_of(written(TALK))[-1]["response"]["output"]
    body = {"model": "m", "input": output}
    thought = RESPONSES.decode_request(json.dumps(body).encode()).turns[0].parts[0]
    assert thought.text == "Let me think."
    assert thought.carriers == (Carrier("anthropic.signature", "c2ln"),)
    body["input"][0]["encrypted_content"] = body["input"][0]["encrypted_content"][:-1]
    damaged = RESPONSES.decode_request(json.dumps(body).encode()).turns[0].parts[0]
    assert damaged.carriers == ()


def test_the_action_of_a_local_shell_says_what_it_is():
    events = [
        BlockStart(0, ToolCall("c1", "local_shell", typed="local_shell")),
        ArgumentsDelta(0, '{"command":["ls"],"working_directory":"/x"}'),
        BlockStop(0),
        Finished(Finish("tool_calls")),
    ]
    (item,) = events_of(written(events))[-1]["response"]["output"]
    assert item["action"] == {"type": "exec", "env": {}, "command": ["ls"], "working_directory": "/x"}


def test_foreign_web_search_becomes_a_search_item_and_other_tools_nothing():
    events = [
        BlockStart(0, ServerCall("messages", "web_search", id="srvtoolu_1", arguments='{"query":"q"}')),
        BlockStop(0),
        BlockStart(1, ServerResult("messages", "web_search", raw=msgspec.Raw(b"{}"))),
        BlockStop(1),
        BlockStart(2, ServerCall("messages", "code", id="srvtoolu_2")),
        ArgumentsDelta(2, "{}"),
        BlockStop(2),
        Finished(Finish("end")),
    ]
    parsed = events_of(written(events))
    check_grammar(parsed)
    (item,) = parsed[-1]["response"]["output"]
    assert item["type"] == "web_search_call"
    assert item["action"] == {"type": "search", "query": "q"}
    assert [event["type"].rpartition(".")[2] for event in parsed if "web_search_call." in event["type"]] == [
        "in_progress",
        "searching",
        "completed",
    ]


texts = st.text(max_size=6)
carriers = st.builds(
    Carrier, kind=st.sampled_from(["openai.encrypted", "anthropic.signature", "anthropic.redacted"]), data=texts
)
ids = st.sampled_from(["", "call_1", "functions.f:0", "x" * 90])
parts = st.one_of(
    st.builds(
        Text,
        text=texts,
        citations=st.lists(
            st.builds(Citation, st.just("messages"), url=st.none() | texts, start=st.none() | st.integers(0, 9)),
            max_size=2,
        ).map(tuple),
    ),
    st.builds(Refusal, text=texts),
    st.builds(
        Reasoning,
        text=texts,
        summary=st.lists(texts, max_size=2).map(tuple),
        carriers=st.lists(carriers, max_size=2).map(tuple),
        redacted=st.booleans(),
    ),
    st.builds(
        ToolCall,
        id=ids,
        name=st.sampled_from(["f", "apply_patch"]),
        arguments=texts,
        kind=st.sampled_from(["json", "text"]),
        typed=st.sampled_from([None, "apply_patch", "bash_20250124"]),
        carriers=st.lists(carriers, max_size=1).map(tuple),
    ),
    st.builds(ServerCall, st.just("messages"), st.sampled_from(["web_search", "code"]), arguments=texts),
    st.builds(Image, st.builds(Inline, st.just("image/png"), st.just("aGk="))),
    st.builds(Audio, st.builds(Inline, st.just("audio/wav"), st.just("aGk="))),
    st.builds(Compaction, text=texts, carrier=st.none() | carriers),
    st.just(Opaque("messages", "x", msgspec.Raw(b'{"type":"x"}'))),
)
finishes = st.builds(
    Finish,
    reason=st.sampled_from(["end", "max_tokens", "tool_calls", "refusal", "filtered", "malformed_call"]),
    detail=st.none() | texts,
)
answers = st.builds(
    lambda found, finish, usage: Response(
        id="x", model="m", candidates=(Candidate(tuple(found), finish),), usage=usage
    ),
    st.lists(parts, max_size=5),
    finishes,
    st.none() | st.just(USAGE),
)


@given(answers)
def test_any_answer_becomes_a_legal_stream(response):
    events = events_of(written(unfold(response)))
    check_grammar(events)
    assert json.loads(RESPONSES.encode_response(response, answer())) == events[-1]["response"]


@given(answers, st.integers(0, 40))
def test_a_failure_anywhere_leaves_a_legal_stream(response, cut):
    events = [*unfold(response)[:cut], Failure(UpstreamError("x", cause=Cause.RESET))]
    if not any(isinstance(event, Finished) for event in events):
        check_grammar(events_of(written(events)))


@given(answers, st.integers(1, 60))
@settings(max_examples=settings().max_examples // 2)
def test_any_chunking_reads_the_same(response, size):
    data = written(unfold(response))
    assert [_plain(event) for event in read(data, size=size)] == [_plain(event) for event in read(data)]


@given(answers)
def test_reading_back_keeps_texts_and_calls(response):
    back = read(written(unfold(response)))
    if isinstance(back[-1], Failure):
        assert response.candidates[0].finish.reason == "malformed_call"
        return
    got = fold(back).candidates[0].parts
    said = [part.text for part in response.candidates[0].parts if isinstance(part, Text)]
    assert [part.text for part in got if isinstance(part, Text)] == said
    passed = [part.arguments for part in response.candidates[0].parts if isinstance(part, ToolCall)]
    calls = [part for part in got if isinstance(part, ToolCall)]
    assert [call.arguments for call in calls if call.kind == "text"] == [
        text
        for text, part in zip(passed, [p for p in response.candidates[0].parts if isinstance(p, ToolCall)], strict=True)
        if part.kind == "text"
    ]


def _plain(event: Event) -> object:
    if isinstance(event, Failure):
        return str(event.error)
    return msgspec.json.encode(event)


# Reading what servers leave out


def sse(*events: dict) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


DONE = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}


def folded(data: bytes, restore: Restore | None = None) -> Candidate:
    return fold(read(data, restore)).candidates[0]


def test_items_that_come_only_when_done_are_read():
    data = sse(
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.output_item.done", "output_index": 1, "item": CALL},
        DONE,
    )
    candidate = folded(data)
    assert candidate.parts[0].text == "hello"
    assert (candidate.parts[1].id, candidate.parts[1].arguments) == ("c1", '{"a":1}')
    assert candidate.finish.reason == "tool_calls"


def test_items_that_come_only_in_the_terminal_event_are_read():
    done = {"type": "response.completed", "response": {"status": "completed", "output": [MESSAGE, CALL]}}
    assert [type(part).__name__ for part in folded(sse(done)).parts] == ["Text", "ToolCall"]


@pytest.mark.parametrize("indexes", [(0, 0, 0), (1, 2, 3), (0, 1, 2)], ids=["all zero", "from one", "right"])
def test_output_indexes_may_be_wrong(indexes):
    calls = [{**CALL, "id": f"fc_{n}", "call_id": f"c{n}"} for n in (1, 2)]
    events = []
    for index, item in zip(indexes, [MESSAGE, *calls], strict=True):
        begun = {**item, "content": []} if item is MESSAGE else {**item, "arguments": ""}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        if item is not MESSAGE:
            delta = {"output_index": index, "item_id": item["id"], "delta": item["arguments"]}
            events.append({"type": "response.function_call_arguments.delta", **delta})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        events.append({"type": "response.function_call_arguments.delta", "output_index": index, "delta": "late"})
    done = {"type": "response.completed", "response": {"status": "completed", "output": [MESSAGE, *calls]}}
    text, *found = folded(sse(*events, done)).parts
    assert text.text == "hello"
    assert [(call.id, call.arguments) for call in found] == [("c1", '{"a":1}'), ("c2", '{"a":1}')]


def test_deltas_without_index_added_or_part_events_are_read():
    data = sse(
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "hel"},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": "lo"},
        DONE,
    )
    assert folded(data).parts[0].text == "hello"


def test_remainder_beyond_the_deltas_is_added():
    data = sse(
        {"type": "response.output_item.added", "output_index": 0, "item": {**CALL, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'},
        {"type": "response.output_item.done", "output_index": 0, "item": CALL},
        DONE,
    )
    assert folded(data).parts[0].arguments == '{"a":1}'


def test_overlapping_items_come_out_one_after_the_other():
    def added(index):
        item = {**CALL, "id": f"fc_{index}", "call_id": f"c{index}", "arguments": ""}
        return {"type": "response.output_item.added", "output_index": index, "item": item}

    def delta(index, text):
        return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": text}

    def done(index, text):
        item = {**CALL, "id": f"fc_{index}", "call_id": f"c{index}", "arguments": text}
        return {"type": "response.output_item.done", "output_index": index, "item": item}

    data = sse(
        added(0), added(1), delta(1, "[1"), delta(0, "[0"), delta(1, "]"), done(1, "[1]"), delta(0, "]"), done(0, "[0]")
    )
    parts = folded(data + sse(DONE)).parts
    assert [(part.id, part.arguments) for part in parts] == [("c0", "[0]"), ("c1", "[1]")]


def test_summary_parts_raw_text_and_proof_are_read():
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
        "encrypted_content": "blob",
    }
    data = sse(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "one"},
        {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "raw"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        DONE,
    )
    (thought,) = folded(data).parts
    assert thought.summary == ("one", "two")
    assert (thought.text, thought.id) == ("raw", "rs_1")
    assert thought.carriers == (Carrier("openai.encrypted", "blob", item_id="rs_1"),)


@pytest.mark.parametrize("pieces", [["whole"], ['{"inp', 'ut":"*** ', 'Begin"}']])
def test_wrapped_tool_is_unwrapped(pieces):
    whole = '{"input":"*** Begin"}'
    item = {**CALL, "name": "ns__apply_patch", "arguments": whole}
    events = [{"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}}]
    if pieces != ["whole"]:
        events += [
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": piece} for piece in pieces
        ]
    events += [{"type": "response.output_item.done", "output_index": 0, "item": item}, DONE]
    (call,) = folded(sse(*events), Restore({"ns__apply_patch": ToolShape("apply_patch", "text", "ns")})).parts
    assert (call.name, call.namespace, call.kind, call.arguments) == ("apply_patch", "ns", "text", "*** Begin")


def test_hosted_items_are_kept_raw():
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    (part,) = folded(sse({"type": "response.output_item.done", "output_index": 0, "item": item}, DONE)).parts
    assert (part.kind, json.loads(bytes(part.raw))) == ("web_search", item)


def test_created_is_the_start():
    created = {"type": "response.created", "response": {"id": "resp_9", "model": "gpt", "created_at": 5.0}}
    assert read(sse(created, DONE))[0] == Start("resp_9", "gpt", 5)


@pytest.mark.parametrize(
    ("data", "cause", "kind"),
    [
        (b"", Cause.TRUNCATED, Kind.BAD_GATEWAY),
        (sse({"type": "response.output_text.delta", "delta": "x"}), Cause.TRUNCATED, Kind.BAD_GATEWAY),
        (b"data: {broken\n\n", Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"<html>\n\n", Cause.TRUNCATED, Kind.BAD_GATEWAY),
        (sse({"type": "error", "code": "server_error", "message": "x"}), Cause.IN_BAND, Kind.SERVER),
        (sse({"type": "error", "error": {"code": "slow_down", "message": "x"}}), Cause.IN_BAND, Kind.RATE_LIMIT),
        (sse({"error": {"message": "x", "code": 500}}), Cause.IN_BAND, Kind.BAD_GATEWAY),
        (
            sse({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "x"}}}),
            Cause.IN_BAND,
            Kind.RATE_LIMIT,
        ),
        (sse({"type": "response.output_text.delta", "delta": 7}), Cause.CONTENT, Kind.BAD_GATEWAY),
        (sse({"type": "response.completed", "response": {"output": 7}}), Cause.CONTENT, Kind.BAD_GATEWAY),
    ],
)
def test_broken_streams_never_look_like_success(data, cause, kind):
    last = read(data)[-1]
    assert isinstance(last, Failure)
    assert last.error.cause is cause
    assert last.error.kind is kind


@pytest.mark.parametrize(
    "noise",
    [
        {"type": "response.brand_new", "output_index": "x"},
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "hello"},
    ],
)
def test_unknown_events_are_ignored(noise):
    data = sse({"type": "response.output_text.delta", "output_index": 0, "delta": "hello"}, noise, DONE)
    assert folded(data).parts[0].text == "hello"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
wild_events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [event["type"] for event in events_of(written(TALK))] + ["error", "response.reasoning_text.delta"]
        )
    },
    optional={
        name: json_values | st.sampled_from([MESSAGE, CALL, {"type": "output_text", "text": "x"}])
        for name in ("delta", "item", "part", "response", "annotation", "text", "error", "logprobs", "item_id")
    }
    | {name: st.integers(-1, 3) | json_values for name in ("output_index", "content_index", "summary_index")},
)


@given(st.lists(wild_events, max_size=8))
def test_no_stream_of_events_breaks_the_decoder(events):
    found = read(sse(*events))
    assert isinstance(found[-1], Failure | Finished)


def test_an_annotation_of_a_refusal_leads_nowhere():
    """Some servers begin a part as a refusal and go on as if it were a text."""
    place = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    cited = {"type": "url_citation", "start_index": 0, "end_index": 1, "url": "https://a.example", "title": "A"}
    whole = {"type": "output_text", "text": "No.", "annotations": [cited]}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [whole]}
    told = [
        {"type": "response.created", "response": {"id": "resp_0"}},
        {"type": "response.content_part.added", **place, "part": {"type": "refusal", "refusal": ""}},
        {"type": "response.output_text.delta", **place, "delta": "No."},
        {"type": "response.output_text.annotation.added", **place, "annotation": cited},
        {"type": "response.content_part.done", **place, "part": whole},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "resp_0", "status": "completed", "output": [item]}},
    ]
    response = fold(read(b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in told)))
    assert response.candidates[0].parts == (Refusal("No."),)
