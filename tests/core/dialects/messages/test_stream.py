"""Streams both ways: what comes in becomes legal events, what goes out the official SDK reads as meant."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.interface import Answer, Restore, ToolShape
from asgi_llm.dialects.messages import MESSAGES
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
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.grammar import Grammar
from asgi_llm.neutral.request import (
    Carrier,
    Citation,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerCall,
    ServerResult,
    Text,
    ToolCall,
)
from asgi_llm.neutral.response import Candidate, Finish, FinishReason, Response
from asgi_llm.neutral.usage import Usage


def minted(prefix: str) -> str:
    return prefix + "minted"


ANSWER = Answer(model="caller-model", mint=minted)


def sse(*events: dict[str, Any], named: bool = True, newline: bytes = b"\n") -> bytes:
    out = b""
    for event in events:
        name = b"event: " + event["type"].encode() + newline if named else b""
        out += name + b"data: " + json.dumps(event, ensure_ascii=False).encode() + newline * 2
    return out


def decode(data: bytes, restore: Restore | None = None, size: int = 0) -> list[Event]:
    decoder = MESSAGES.stream_decoder(restore or Restore())
    events: list[Event] = []
    for at in range(0, len(data), size or len(data) or 1):
        events += decoder.feed(data[at : at + size] if size else data)
    return events + decoder.end()


def legal(events: list[Event]) -> list[Event]:
    grammar = Grammar()
    for event in events:
        grammar.feed(event)
    grammar.end()
    return events


START: dict[str, Any] = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def done(reason: str | None = "end_turn", **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


WHOLE = sse(
    START,
    {"type": "ping"},
    begin(0, type="thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm é"),
    delta(0, "signature_delta", signature="sig"),
    end(0),
    begin(1, type="text", text=""),
    delta(1, "text_delta", text="line\u2028two 😀"),
    delta(1, "citations_delta", citation={"type": "char_location", "cited_text": "c"}),
    end(1),
    begin(2, type="tool_use", id="t1", name="f", input={}),
    delta(2, "input_json_delta", partial_json=""),
    delta(2, "input_json_delta", partial_json='{"a":'),
    delta(2, "input_json_delta", partial_json="1}"),
    end(2),
    begin(3, type="redacted_thinking", data="enc"),
    end(3),
    done("tool_use", output_tokens=42),
    STOP,
)


class TestDecoder:
    def test_a_whole_stream(self) -> None:
        events = legal(decode(WHOLE))
        response = fold(events)
        thought, text, call, redacted = response.candidates[0].parts
        assert thought == Reasoning("hm é", carriers=(Carrier("anthropic.signature", "sig", provider="anthropic"),))
        assert isinstance(text, Text)
        assert (text.text, text.citations[0].cited_text) == ("line\u2028two 😀", "c")
        assert call == ToolCall("t1", "f", '{"a":1}')
        assert isinstance(redacted, Reasoning)
        assert redacted.redacted
        assert response.candidates[0].finish == Finish("tool_calls")
        assert response.usage is not None
        assert (response.usage.fresh, response.usage.visible) == (9, 42)
        assert Ping() in events

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
    @pytest.mark.parametrize("size", [1, 2, 7, 100])
    def test_any_cut_and_line_end_gives_the_same(self, newline: bytes, size: int) -> None:
        data = WHOLE.replace(b"\n", newline)
        assert repr_of(decode(data, size=size)) == repr_of(decode(WHOLE))

    def test_frames_without_names_and_comments(self) -> None:
        data = b": hello\n\n" + WHOLE.replace(b"event: ", b": ")
        assert repr_of(decode(data)) == repr_of(decode(WHOLE))

    def test_what_is_of_a_later_version_is_passed_over(self) -> None:
        data = sse(
            START,
            {"type": "weather_report"},
            begin(0, type="text", text=""),
            delta(0, "sparkle_delta", x=1),
            delta(0, "text_delta", text="a"),
            end(0),
            done(),
            STOP,
        )
        assert fold(legal(decode(data))).candidates[0].parts == (Text("a"),)

    def test_without_its_end_a_stream_is_truncated_and_its_usage_known(self) -> None:
        events = legal(decode(sse(START, begin(0, type="text", text=""), done(output_tokens=5))))
        last = events[-1]
        assert isinstance(last, Failure)
        assert isinstance(last.error, UpstreamError)
        assert last.error.cause is Cause.TRUNCATED
        assert any(isinstance(event, UsageUpdate) and event.usage.visible == 5 for event in events)

    @pytest.mark.parametrize("data", [b"", b": only a comment\n\n", b'{"type":"message"}', b"data: [DONE]\n\n"])
    def test_an_empty_stream_is_a_failure(self, data: bytes) -> None:
        (event,) = decode(data)
        assert isinstance(event, Failure)

    @pytest.mark.parametrize(
        "bad",
        [b"data: {oops\n\n", sse(begin(0, type="text")), sse({"type": "message_start"}), sse(delta(0, "text_delta"))],
    )
    def test_broken_events_are_failures_with_cause_content(self, bad: bytes) -> None:
        events = legal(decode(sse(START) + bad + sse(done(), STOP)))
        last = events[-1]
        assert isinstance(last, Failure)
        assert isinstance(last.error, UpstreamError)
        assert last.error.cause is Cause.CONTENT

    @pytest.mark.parametrize(
        "error",
        [
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            {"error": {"type": "overloaded_error", "message": "busy"}},
            {"object": "error", "type": "overloaded_error", "message": "busy"},
        ],
    )
    def test_an_error_event_ends_everything(self, error: dict[str, Any]) -> None:
        data = sse(START) + b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n" + WHOLE
        last = legal(decode(data))[-1]
        assert isinstance(last, Failure)
        assert (last.error.kind, last.error.message) == (Kind.OVERLOADED, "busy")

    def test_blocks_nobody_opened_or_closed(self) -> None:
        data = sse(
            delta(0, "text_delta", text="a"),
            begin(1, type="tool_use", id="t", name="f", input={}),
            delta(1, "input_json_delta", partial_json="{}"),
            delta(5, "text_delta", text="b"),
            done(),
            STOP,
        )
        response = fold(legal(decode(data)))
        assert response.candidates[0].parts == (Text("a"), ToolCall("t", "f", "{}"), Text("b"))
        assert response.candidates[0].finish.reason == "tool_calls"

    def test_arguments_that_come_with_the_start(self) -> None:
        data = sse(START, begin(0, type="tool_use", id="t", name="f", input={"a": 1}), end(0), done(), STOP)
        (call,) = fold(legal(decode(data))).candidates[0].parts
        assert isinstance(call, ToolCall)
        assert json.loads(call.arguments) == {"a": 1}

    def test_tools_are_turned_back(self) -> None:
        restore = Restore({"ns__f": ToolShape("f", namespace="ns"), "p": ToolShape("p", "text")}, "json_output")
        data = sse(
            START,
            begin(0, type="tool_use", id="1", name="ns__f", input={}),
            end(0),
            begin(1, type="tool_use", id="2", name="p", input={}),
            delta(1, "input_json_delta", partial_json='{"input": "a\\n\\ud83d'),
            delta(1, "input_json_delta", partial_json='\\ude00"}'),
            end(1),
            begin(2, type="tool_use", id="3", name="json_output", input={}),
            delta(2, "input_json_delta", partial_json='{"x":1}'),
            end(2),
            done("tool_use"),
            STOP,
        )
        for size in (0, 1):
            assert fold(legal(decode(data, restore, size))).candidates[0].parts == (
                ToolCall("1", "f", namespace="ns"),
                ToolCall("2", "p", "a\n😀", kind="text"),
                Text('{"x":1}'),
            )

    def test_an_unwrapped_answer_ends_as_an_answer(self) -> None:
        block = begin(0, type="tool_use", id="3", name="json_output", input={"x": 1})
        response = fold(decode(sse(START, block, end(0), done("tool_use"), STOP), Restore(unwrap_output="json_output")))
        assert response.candidates[0].finish.reason == "end"
        assert response.candidates[0].parts == (Text('{"x": 1}'),)

    def test_usage_is_merged_field_by_field(self) -> None:
        start = {
            "type": "message_start",
            "message": {
                "id": "m",
                "usage": {
                    "input_tokens": 0,
                    "output_tokens": 1,
                    "cache_creation_input_tokens": 7,
                    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3},
                },
            },
        }
        last = {**done(), "usage": {"input_tokens": 11, "output_tokens": 20, "cache_creation_input_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 5}}}  # fmt: skip
        usage = fold(decode(sse(start, last, STOP))).usage
        assert usage is not None
        assert (usage.fresh, usage.written, usage.cache_write_5m, usage.visible, usage.reasoning) == (11, 7, 4, 15, 5)

    @given(st.data())
    def test_no_event_of_any_shape_raises(self, data: st.DataObject) -> None:
        """Random JSON in the places of the protocol: legal events or a failure, never an exception."""
        json_value = st.recursive(
            st.none() | st.integers() | st.text(max_size=3),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
            max_leaves=6,
        )
        events = data.draw(
            st.lists(
                st.builds(lambda kind, rest: {**rest, "type": kind}, KINDS, st.dictionaries(KEYS, json_value)),
                max_size=6,
            )
        )
        legal(decode(sse(*events), size=data.draw(st.integers(0, 9))))


KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "error", "x"]
)
KEYS = st.sampled_from(
    ["type", "index", "delta", "content_block", "usage", "message", "text", "error", "stop_reason", "input", "id"]
)


def repr_of(events: list[Event]) -> list[str]:
    """Comparable though errors and raw JSON compare by identity."""
    return [str(event.usage.fresh) if isinstance(event, UsageUpdate) else _shown(event) for event in events]


def _shown(event: Event) -> str:
    if isinstance(event, Start):
        return f"Start {event.id} {event.model}"
    if isinstance(event, CitationAdd):
        return f"CitationAdd {event.index} {event.citation.cited_text}"
    return repr(event)


def encode(events: Iterable[Event], one_by_one: bool = False) -> bytes:
    encoder = MESSAGES.stream_encoder(ANSWER)
    if one_by_one:
        return b"".join(encoder.feed([event]) for event in events)
    return encoder.feed(events)


def frames(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in data.decode().split("\n\n")[:-1]:
        name, value = block.split("\n")
        yield name.removeprefix("event: "), json.loads(value.removeprefix("data: "))


def check_grammar(data: bytes) -> list[dict[str, Any]]:
    """The protocol's rules, checked one by one."""
    seen: list[dict[str, Any]] = []
    opened: int | None = None
    following = 0
    for name, event in frames(data):
        assert name == event["type"]
        assert not seen or seen[-1]["type"] not in ("message_stop", "error")
        if name == "error":
            seen.append(event)
            continue
        assert bool(seen) == (name != "message_start")
        if name == "content_block_start":
            assert opened is None
            assert event["index"] == following
            opened, following = following, following + 1
        elif name == "content_block_delta":
            assert event["index"] == opened
        elif name == "content_block_stop":
            assert event["index"] == opened
            opened = None
        elif name == "message_delta":
            assert opened is None
            assert event["delta"]["stop_reason"]
            assert isinstance(event["usage"]["input_tokens"], int)
        seen.append(event)
    return seen


def client(content: bytes, kind: str = "text/event-stream", status: int = 200) -> anthropic.Anthropic:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers={"content-type": kind})

    return anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )


def read_by_sdk(data: bytes) -> Message:
    """The official SDK's accumulated message."""
    with client(data).messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream:
        return stream.get_final_message()


def finished(*events: Event, reason: FinishReason = "end", usage: Usage | None = None) -> list[Event]:
    tail: list[Event] = [] if usage is None else [UsageUpdate(usage)]
    return [Start("up", "um"), *events, *tail, Finished(Finish(reason))]


class TestEncoder:
    def test_text_thoughts_and_calls_reach_the_sdk(self) -> None:
        events = finished(
            BlockStart(0, Reasoning()),
            ReasoningDelta(0, "hm"),
            CarrierSet(0, Carrier("anthropic.signature", "sig")),
            BlockStop(0),
            BlockStart(1, Text("")),
            TextDelta(1, 'say "é"\n\u2028'),
            TextDelta(1, "😀"),
            BlockStop(1),
            BlockStart(2, ToolCall("t1", "f")),
            ArgumentsDelta(2, '{"a":'),
            ArgumentsDelta(2, "1}"),
            BlockStop(2),
            BlockStart(3, ToolCall("", "g")),
            BlockStop(3),
            usage=Usage(fresh=3, cache_read=2, cache_write_1h=4, visible=5, reasoning=6),
        )
        data = encode(events)
        check_grammar(data)
        message = read_by_sdk(data)
        thought, text, call, empty = message.content
        assert thought.type == "thinking"
        assert (thought.thinking, thought.signature) == ("hm", "sig")
        assert text.type == "text"
        assert text.text == 'say "é"\n\u2028😀'
        assert call.type == empty.type == "tool_use"
        assert (call.id, call.name, call.input) == ("t1", "f", {"a": 1})
        assert (empty.id, empty.input) == ("toolu_minted", {})
        assert message.stop_reason == "tool_use"
        assert (message.id, message.model) == ("msg_minted", "caller-model")
        assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 11)
        assert (message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens) == (2, 4)

    def test_one_by_one_gives_the_same_bytes(self) -> None:
        events = decode(WHOLE)
        assert encode(events) == encode(events, one_by_one=True)

    def test_a_thought_without_a_signature_gets_one_of_ours(self) -> None:
        data = encode(finished(BlockStart(0, Reasoning()), ReasoningDelta(0, "a"), BlockStop(0)))
        (thought,) = read_by_sdk(data).content
        assert thought.type == "thinking"
        assert thought.signature.startswith("asgi-llm.v1.")
        (back,) = (
            MESSAGES.decode_request(
                json.dumps(
                    {
                        "model": "m",
                        "max_tokens": 1,
                        "messages": [{"role": "assistant", "content": [thought.model_dump(mode="json")]}],
                    }
                ).encode()
            )
            .turns[0]
            .parts
        )
        assert back == Reasoning("a")

    def test_parts_of_a_summary_are_kept_apart(self) -> None:
        deltas = [ReasoningDelta(0, t, True, n) for t, n in (("a", 0), ("b", 0), ("c", 1))]
        (thought,) = read_by_sdk(encode(finished(BlockStart(0, Reasoning()), *deltas, BlockStop(0)))).content
        assert thought.type == "thinking"
        assert thought.thinking == "ab\n\nc"

    @pytest.mark.parametrize("pieces", [["a"], ['say "', "\\", "\n😀"], [], [""]])
    def test_free_text_is_escaped_piece_by_piece(self, pieces: list[str]) -> None:
        deltas = [ArgumentsDelta(0, piece) for piece in pieces]
        data = encode(finished(BlockStart(0, ToolCall("t", "p", kind="text")), *deltas, BlockStop(0)))
        (call,) = read_by_sdk(data).content
        assert call.type == "tool_use"
        assert call.input == {"input": "".join(pieces)}

    @pytest.mark.parametrize(
        ("pieces", "read"),
        [(["not ", "json"], {"_raw": "not json"}), (["[1", "]"], {"_raw": "[1]"}), ([" ", ' {"a":1}'], {"a": 1})],
    )
    def test_arguments_that_are_no_object_do_not_break_the_client(self, pieces: list[str], read: Any) -> None:
        deltas = [ArgumentsDelta(0, piece) for piece in pieces]
        (call,) = read_by_sdk(encode(finished(BlockStart(0, ToolCall("t", "f")), *deltas, BlockStop(0)))).content
        assert call.type == "tool_use"
        assert call.input == read

    def test_carriers_of_calls_travel_in_thoughts(self) -> None:
        """Known before the call, they stand before it; known later, behind it; both find back."""
        signature = Carrier("google.thought_signature", "g")
        events = finished(
            BlockStart(0, ToolCall("a", "f", carriers=(signature,))),
            BlockStop(0),
            BlockStart(1, ToolCall("b", "f")),
            CarrierSet(1, signature),
            BlockStop(1),
        )
        data = encode(events)
        check_grammar(data)
        content = [block.model_dump(mode="json", exclude_none=True) for block in read_by_sdk(data).content]
        assert [block["type"] for block in content] == ["thinking", "tool_use", "tool_use", "thinking"]
        body = {"model": "m", "max_tokens": 1, "messages": [{"role": "assistant", "content": content}]}
        calls = MESSAGES.decode_request(json.dumps(body).encode()).turns[0].parts
        assert [call.carriers for call in calls if isinstance(call, ToolCall)] == [(signature,), (signature,)]
        assert len(calls) == 2

    def test_server_blocks_of_this_api_pass_and_others_do_not(self) -> None:
        raw = Raw(b'{"type": "server_tool_use",\n "id": "s", "name": "web_search", "input": {}}')
        found = Raw(b'{"type":"web_search_tool_result","tool_use_id":"s","content":[]}')
        events = finished(
            BlockStart(0, ServerCall("messages", "web_search", raw=raw)),
            ArgumentsDelta(0, '{"query":"q"}'),
            BlockStop(0),
            BlockStart(1, ServerResult("messages", "web_search", raw=found)),
            BlockStop(1),
            BlockStart(2, ServerCall("responses", "web_search", raw=Raw(b"{}"))),
            BlockStop(2),
            BlockStart(3, Text("")),
            CitationAdd(3, Citation("chat", url="https://x", title="X")),
            TextDelta(3, "t"),
            BlockStop(3),
        )
        data = encode(events)
        check_grammar(data)
        call, result, text = read_by_sdk(data).content
        assert call.type == "server_tool_use"
        assert call.input == {"query": "q"}
        assert result.type == "web_search_tool_result"
        assert text.type == "text"
        assert text.citations is not None
        assert text.citations[0].type == "web_search_result_location"
        assert text.citations[0].url == "https://x"

    def test_nothing_comes_before_the_first_real_event(self) -> None:
        encoder = MESSAGES.stream_encoder(ANSWER)
        assert encoder.feed([Ping(), Start("a", "b"), UsageUpdate(Usage(fresh=8))]) == b""
        first = next(frames(encoder.feed([BlockStart(0, Text(""))])))[1]
        assert first["message"]["usage"]["input_tokens"] == 8

    def test_an_empty_answer_is_still_a_message(self) -> None:
        data = encode([Start("a", "b"), Finished(Finish("end"))])
        check_grammar(data)
        assert read_by_sdk(data).content == []

    def test_a_failure_ends_the_stream_as_an_error(self) -> None:
        error = UpstreamError("gone", cause=Cause.RESET, code="upstream_reset")
        late = encode([*finished(BlockStart(0, Text("")), TextDelta(0, "a"))[:-1], Failure(error), Ping()])
        assert [event["type"] for event in check_grammar(late)][-1] == "error"
        early = encode([Failure(error)])
        assert [event["type"] for event in check_grammar(early)] == ["error"]
        for data in (late, early):
            with pytest.raises(anthropic.APIStatusError, match="gone"):
                read_by_sdk(data)

    def test_only_the_first_candidate_is_written(self) -> None:
        events: list[Event] = [
            Start("a", "b"),
            BlockStart(0, Text("")),
            BlockStart(0, Text(""), candidate=1),
            TextDelta(0, "mine"),
            TextDelta(0, "other", candidate=1),
            BlockStop(0, candidate=1),
            Finished(Finish("end"), candidate=1),
            BlockStop(0),
            Finished(Finish("end")),
        ]
        (text,) = read_by_sdk(encode(events)).content
        assert text.type == "text"
        assert text.text == "mine"

    def test_keepalives_may_come_at_any_time(self) -> None:
        encoder = MESSAGES.stream_encoder(ANSWER)
        data = encoder.keepalive()
        for event in finished(BlockStart(0, Text("")), TextDelta(0, "a"), BlockStop(0)):
            data += encoder.feed([event]) + encoder.keepalive()
        assert data.count(b"ping") > 4
        (text,) = read_by_sdk(data).content
        assert text.type == "text"

    @pytest.mark.parametrize(
        ("reason", "word"),
        [
            ("end", "end_turn"),
            ("stop_sequence", "stop_sequence"),
            ("max_tokens", "max_tokens"),
            ("context_full", "model_context_window_exceeded"),
            ("filtered", "refusal"),
            ("refusal", "refusal"),
            ("pause", "pause_turn"),
            ("tool_calls", "end_turn"),
            ("other", "end_turn"),
        ],
    )
    def test_stop_reasons(self, reason: FinishReason, word: str) -> None:
        events: list[Event] = [
            Start("a", "b"),
            BlockStart(0, Refusal("no")),
            BlockStop(0),
            Finished(Finish(reason, "S", "bio", "why")),
        ]
        message = read_by_sdk(encode(events))
        assert message.stop_reason == word
        assert message.stop_sequence == ("S" if word == "stop_sequence" else None)
        assert (message.stop_details is not None) == (word == "refusal")

    def test_an_unreadable_call_is_no_success(self) -> None:
        data = encode([Start("a", "b"), Finished(Finish("malformed_call"))])
        assert [event["type"] for event in check_grammar(data)] == ["error"]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
OBJECTS = st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=2).map(json.dumps)
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, TEXTS.filter(bool)),
    st.builds(Reasoning, TEXTS.filter(bool)),
    st.builds(
        lambda text, data: Reasoning(text, carriers=(Carrier("anthropic.signature", data, provider="anthropic"),)),
        TEXTS,
        st.text("abc", min_size=1, max_size=4),
    ),
    st.builds(lambda n, text: ToolCall(f"call_{n}", "f", text), st.integers(0, 99), OBJECTS),
    st.builds(lambda n, text: ToolCall(f"call_{n}", "p", text, kind="text"), st.integers(0, 99), TEXTS),
    st.builds(lambda text: Refusal(text), TEXTS),
    st.just(Image(Inline("image/png", "AAAA"))),
    st.just(Opaque("chat", "x", Raw(b"{}"))),
    st.just(Reasoning(carriers=(Carrier("anthropic.redacted", "r", provider="anthropic"),), redacted=True)),
)


def test_arguments_of_a_call_that_is_not_open_are_no_other_call() -> None:
    blocks = [{"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": {}} for n, name in enumerate("fg")]
    starts = [{"type": "content_block_start", "index": n, "content_block": block} for n, block in enumerate(blocks)]
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}
    events = decode(sse({"type": "message_start", "message": {"id": "m"}}, *starts, piece, {"type": "message_stop"}))
    assert isinstance(events[-1], Failure)


@given(st.lists(PARTS, max_size=5), st.integers(1, 40))
def test_any_legal_answer_is_written_legally_and_means_the_same(parts: list[Part], size: int) -> None:
    """Neutral -> stream -> neutral: legal in between, equal in meaning, equal to the answer not streamed."""
    usage = Usage(fresh=1, cache_read=2, visible=3)
    response = Response(id="msg_x", model="m", candidates=(Candidate(tuple(parts), Finish("end")),), usage=usage)
    data = encode(unfold(response))
    check_grammar(data)
    restore = Restore({"p": ToolShape("p", "text")})
    streamed = fold(legal(decode(data, restore, size)))
    whole = MESSAGES.decode_response(MESSAGES.encode_response(response, ANSWER), restore)
    assert streamed.candidates == whole.candidates
    expected = [part for part in parts if not isinstance(part, Opaque | Image | Refusal)]
    kept = [part for part in streamed.candidates[0].parts if not isinstance(part, Text)]
    assert kept == [part for part in expected if not isinstance(part, Text)]
