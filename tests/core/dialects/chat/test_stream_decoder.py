"""Upstreams' streams, with all that compatible servers do to them."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.chat import CHAT
from asgi_llm.dialects.interface import Restore, ToolShape
from asgi_llm.errors import Cause, Kind, UpstreamError
from asgi_llm.neutral.events import Event, Failure, Finished, TextDelta, UsageUpdate
from asgi_llm.neutral.fold import Grammar, fold
from asgi_llm.neutral.request import Carrier, Citation, Image, Inline, Reasoning, Refusal, Text, ToolCall
from asgi_llm.neutral.response import Finish, Response

DONE = "[DONE]"
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}


def delta(finish=None, index=0, **members):
    return {
        "id": "x",
        "model": "up",
        "created": 5,
        "choices": [{"index": index, "delta": members, "finish_reason": finish}],
    }


def call(index=None, call_id=None, name=None, arguments=None, **more):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fragment = {"function": function, **more}
    if index is not None:
        fragment["index"] = index
    if call_id is not None:
        fragment["id"] = call_id
    return delta(tool_calls=[fragment])


def wire(*chunks, end="\n\n") -> bytes:
    return "".join(f"data: {c if isinstance(c, str) else json.dumps(c)}{end}" for c in chunks).encode()


def events(data: bytes, restore: Restore | None = None, candidates=1) -> list[Event]:
    decoder = CHAT.stream_decoder(restore or Restore())
    found = [*decoder.feed(data), *decoder.end()]
    grammar = Grammar(candidates)
    for event in found:
        grammar.feed(event)
    grammar.end()
    return found


def answer(*chunks, restore: Restore | None = None) -> Response:
    return fold(events(wire(*chunks), restore))


def parts(*chunks, restore: Restore | None = None):
    return answer(*chunks, END, DONE, restore=restore).candidates[0].parts


def failure(data: bytes) -> UpstreamError:
    last = events(data)[-1]
    assert isinstance(last, Failure)
    assert isinstance(last.error, UpstreamError)
    return last.error


F = ToolCall("1", "f", '{"a":1}')
G = ToolCall("2", "g", "{}")


@pytest.mark.parametrize(
    ("chunks", "neutral"),
    [
        pytest.param(
            [delta(role="assistant", content=""), delta(content="a"), delta(content="b")], [Text("ab")], id="text"
        ),
        pytest.param(
            [delta(role="assistant", content="a"), delta(role="assistant", content="b")], [Text("ab")], id="role-again"
        ),
        pytest.param(
            [delta(reasoning_content="r"), delta(content="a")], [Reasoning("r"), Text("a")], id="reasoning_content"
        ),
        pytest.param(
            [delta(reasoning="r", content=""), delta(content="a")], [Reasoning("r"), Text("a")], id="reasoning"
        ),
        pytest.param([delta(refusal="n"), delta(refusal="o")], [Refusal("no")], id="refusal"),
        pytest.param(
            [
                delta(content=[{"type": "thinking", "thinking": [{"text": "r"}]}]),
                delta(content=[{"type": "text", "text": "a"}]),
            ],
            [Reasoning("r"), Text("a")],
            id="content-lists",
        ),
        pytest.param(
            [call(0, "1", "f", ""), call(0, arguments='{"a"'), call(0, arguments=":1}"), call(1, "2", "g", "{}")],
            [F, G],
            id="origin",
        ),
        pytest.param([call(0, "1", "f", '{"a":1}'), call(0, "2", "g", "{}")], [F, G], id="index-always-0"),
        pytest.param([call(None, "1", "f", '{"a":1}'), call(None, "2", "g", "{}")], [F, G], id="no-index"),
        pytest.param(
            [call(None, "1", "f", '{"a"'), call(None, arguments=":1}"), call(None, "2", "g", "{}")],
            [F, G],
            id="no-index-pieces",
        ),
        pytest.param([call(0, "1", "f", '{"a"'), call(0, "1", "f", ":1}")], [F], id="id-and-name-again"),
        pytest.param([call(0, "1", "f", '{"a"'), call(0, "", None, ":1}")], [F], id="empty-id-on-continuation"),
        pytest.param([call(0, "1", None, '{"a"'), call(0, None, "f", ":1}")], [F], id="late-name"),
        pytest.param(
            [call(0, "1", "f", None), call(0, None, "oo", None), call(0, None, None, "{}")],
            [ToolCall("1", "foo", "{}")],
            id="name-in-pieces",
        ),
        pytest.param([call(0, "1", "f", {"a": 1})], [F], id="arguments-as-object"),
        pytest.param([call(0, "1", "f")], [ToolCall("1", "f")], id="no-arguments"),
        pytest.param(
            [call(0, "1", "f", '{"a"'), call(1, "2", "g", "{"), call(0, arguments=":1}"), call(1, arguments="}")],
            [F, G],
            id="interleaved",
        ),
        pytest.param(
            [call(0, "1", "f", '{"a"'), call(0, "2", "g", "{"), call(0, "1", None, ":1}"), call(0, "2", None, "}")],
            [F, G],
            id="interleaved-under-one-index",
        ),
        pytest.param(
            [call(0, "1", "f", '{"a"'), delta(content="x"), call(0, arguments=":1}")],
            [F, Text("x")],
            id="text-inside-a-call",
        ),
        pytest.param(
            [call(0, "1", "f", '{"a":1}'), call(0, arguments="\n"), delta(content="x")],
            [F, Text("x")],
            id="text-after-a-call",
        ),
        pytest.param(
            [delta(function_call={"name": "f", "arguments": ""}), delta(function_call={"arguments": "{}"})],
            None,
            id="deprecated",
        ),
        pytest.param(
            [call(0, "1", "f", '{"a":1}', extra_content={"google": {"thought_signature": "s"}})],
            [ToolCall("1", "f", '{"a":1}', carriers=(Carrier("google.thought_signature", "s", provider="google"),))],
            id="signature",
        ),
        pytest.param(
            [{"choices": []}, delta(content="a"), {"choices": None}, {"choices": [{"delta": None}]}],
            [Text("a")],
            id="nulls",
        ),
        pytest.param([{"choices": [{"index": 0, "message": {"content": "a"}}]}], [Text("a")], id="whole-message"),
        pytest.param(
            [delta(content="a"), {"choices": [{"delta": {}, "message": {"content": "a"}}]}],
            [Text("a")],
            id="whole-message-again",
        ),
        pytest.param(
            [delta(images=[{"image_url": {"url": "data:image/png;base64,AA"}}])],
            [Image(Inline("image/png", "AA"))],
            id="image",
        ),
    ],
)
def test_deviations_come_out_in_order(chunks, neutral):
    found = parts(*chunks)
    if neutral is None:
        assert isinstance(found[0], ToolCall)
        assert (found[0].name, found[0].arguments) == ("f", "{}")
        assert found[0].id
    else:
        assert found == tuple(neutral)


def test_calls_without_ids_get_different_ones():
    found = parts(call(0, "", "f", "{}"), call(0, "", "f", "{}"), call(0, "", "g", "{}"))
    assert [part.name for part in found] == ["f", "f", "g"]
    assert len({part.id for part in found}) == 3


def test_citations_are_inside_their_text():
    cited = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 2, "url": "u", "title": "t"}}
    found = parts(delta(content="ab"), delta(annotations=[cited]))[0]
    assert isinstance(found, Text)
    citation = found.citations[0]
    assert (citation.start, citation.end, citation.url) == (0, 2, "u")
    assert isinstance(citation, Citation)


def test_encrypted_details_are_carriers_of_the_thought():
    text = {"type": "reasoning.text", "text": "r", "index": 0}
    signed = {"type": "reasoning.text", "signature": "s", "index": 0}
    found = parts(delta(reasoning="r", reasoning_details=[text]), delta(reasoning_details=[signed]), delta(content="a"))
    assert isinstance(found[0], Reasoning)
    assert found[0].text == "r"
    assert [json.loads(carrier.data) for carrier in found[0].carriers] == [signed]


@pytest.mark.parametrize(
    "chunks",
    [
        [delta(content="a"), END, USAGE, DONE],
        [delta(content="a"), END, USAGE],
        [USAGE | {"choices": [{"delta": {"content": "a"}}]}, END, DONE],
        [delta(content="a"), {"choices": [{"delta": {}, "finish_reason": "stop", "usage": USAGE["usage"]}]}, DONE],
        [delta(content="a"), END | {"x_groq": {"usage": USAGE["usage"]}}, DONE],
        [delta(content="a"), END | {"usage": USAGE["usage"]}],
    ],
)
def test_usage_is_found_wherever_it_is_and_comes_before_the_finish(chunks):
    found = events(wire(*chunks))
    assert isinstance(found[-1], Finished)
    update = found[-2]
    assert isinstance(update, UsageUpdate)
    assert (update.usage.input, update.usage.output) == (3, 4)


def test_the_finish_waits_for_usage():
    decoder = CHAT.stream_decoder(Restore())
    assert not any(isinstance(event, Finished) for event in decoder.feed(wire(delta(content="a"), END)))
    assert isinstance(decoder.feed(wire(USAGE))[-1], Finished)
    assert decoder.feed(wire(DONE)) == decoder.end() == []


def test_finish_reasons_are_derived():
    assert answer(call(0, "1", "f", "{}"), END, DONE).candidates[0].finish == Finish("tool_calls")
    assert answer(delta(content="a"), delta("length"), DONE).candidates[0].finish == Finish("max_tokens")
    assert answer(delta(content="a"), DONE).candidates[0].finish == Finish("end")


def test_candidates_are_kept_apart():
    chunks = [
        delta(content="a"),
        delta(index=1, content="b"),
        delta(content="c"),
        delta("stop"),
        delta("length", 1),
        USAGE,
        DONE,
    ]
    found = fold(events(wire(*chunks), candidates=2))
    assert [(c.index, c.parts, c.finish.reason) for c in found.candidates] == [
        (0, (Text("ac"),), "end"),
        (1, (Text("b"),), "max_tokens"),
    ]


@pytest.mark.parametrize(
    ("data", "cause", "kind"),
    [
        (wire(delta(content="a")), Cause.TRUNCATED, Kind.BAD_GATEWAY),
        (wire(call(0, "1", "f", "{}")), Cause.TRUNCATED, Kind.BAD_GATEWAY),
        (b"", Cause.CONTENT, Kind.BAD_GATEWAY),
        (wire(DONE), Cause.CONTENT, Kind.BAD_GATEWAY),
        (wire(delta(role="assistant", content=""), DONE), Cause.CONTENT, Kind.BAD_GATEWAY),
        (b'{"id":"x","choices":[]}', Cause.CONTENT, Kind.BAD_GATEWAY),
        (b"<html></html>", Cause.CONTENT, Kind.BAD_GATEWAY),
        (wire("nonsense"), Cause.CONTENT, Kind.BAD_GATEWAY),
        (wire(delta(content="a"), {"error": {"message": "m", "code": 429}}), Cause.IN_BAND, Kind.RATE_LIMIT),
        (wire(delta(content="a"), {"error": "overloaded"}, DONE), Cause.IN_BAND, Kind.OVERLOADED),
        (b'event: error\ndata: {"message":"m"}\n\n', Cause.IN_BAND, Kind.BAD_GATEWAY),
        (wire(delta("error", content="a")), Cause.IN_BAND, Kind.BAD_GATEWAY),
        (wire({"object": "error", "message": "m", "code": 500}), Cause.IN_BAND, Kind.SERVER),
        (wire(call(0, "1", None, "{}"), END, DONE), Cause.CONTENT, Kind.BAD_GATEWAY),
    ],
)
def test_what_is_no_answer_is_a_failure(data, cause, kind):
    error = failure(data)
    assert (error.cause, error.kind) == (cause, kind)


def test_an_error_that_is_null_is_none():
    assert answer(delta(content="a") | {"error": None}, END, DONE).candidates[0].parts == (Text("a"),)


def test_usage_so_far_is_told_before_a_failure():
    found = events(wire(delta(content="a") | {"usage": USAGE["usage"]}))
    assert isinstance(found[-2], UsageUpdate)


def test_wrapped_free_text_is_unwrapped_as_it_comes():
    restore = Restore({"w": ToolShape("patch", "text")})
    text = 'a\n"b" \\ ä 😀'
    arguments = json.dumps({"input": text})
    pieces = [call(0, arguments=piece) for piece in arguments]
    assert parts(call(0, "1", "w", ""), *pieces, restore=restore) == (ToolCall("1", "patch", text, "text"),)


@given(st.text(), st.booleans(), st.integers(1, 7))
def test_any_free_text_is_unwrapped_in_any_pieces(text, ascii_only, size):
    restore = Restore({"w": ToolShape("patch", "text")})
    arguments = json.dumps({"input": text.encode("utf-8", "replace").decode()}, ensure_ascii=ascii_only)
    pieces = [call(0, arguments=arguments[at : at + size]) for at in range(0, len(arguments), size)]
    found = parts(call(0, "1", "w", ""), *pieces, restore=restore)[0]
    assert isinstance(found, ToolCall)
    assert found.arguments == json.loads(arguments)["input"]


CASES = [
    wire(delta(role="assistant", content=""), delta(content="ä"), delta(content="😀"), END, USAGE, DONE),
    wire(
        delta(reasoning="r"),
        call(0, "1", "f", '{"a"'),
        call(1, "2", "g", "{}"),
        call(0, arguments=":1}"),
        END,
        DONE,
        end="\r\n\r\n",
    ),
    b"\xef\xbb\xbf: hello\n\n" + wire(delta(content="a"), END, USAGE, end="\r\r"),
    wire(delta(content="a"), {"error": {"message": "m", "code": 500}}),
]


@given(st.sampled_from(CASES), st.lists(st.integers(0, 1500), max_size=12))
def test_any_chunking_gives_the_same_answer(data, cuts):
    decoder = CHAT.stream_decoder(Restore())
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [event for a, b in pairwise(places) for event in decoder.feed(data[a:b])]
    found += decoder.end()
    assert _comparable(found) == _comparable(events(data))


def test_byte_by_byte_gives_the_same_answer():
    for data in CASES:
        decoder = CHAT.stream_decoder(Restore())
        found = [event for at in range(len(data)) for event in decoder.feed(data[at : at + 1])]
        assert _comparable(found + decoder.end()) == _comparable(events(data))


def _comparable(found: list[Event]) -> list[object]:
    return [
        str(event.error)
        if isinstance(event, Failure)
        else event.usage.input
        if isinstance(event, UsageUpdate)
        else event
        for event in found
    ]


def test_plain_text_is_one_event_a_chunk():
    decoder = CHAT.stream_decoder(Restore())
    decoder.feed(wire(delta(content="a")))
    assert decoder.feed(wire(delta(content="b"))) == [TextDelta(0, "b")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "index",
                    "delta",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "id",
                    "finish_reason",
                    "refusal",
                    "reasoning",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values | json_values.map(lambda value: {"choices": [value]}), max_size=5), st.booleans())
def test_any_chunks_give_a_legal_stream(chunks, done):
    events(wire(*[json.dumps(chunk) for chunk in chunks], *([DONE] if done else [])), candidates=99)


def test_a_stream_says_the_same_as_the_whole_answer():
    message = {
        "content": "ab",
        "reasoning": "r",
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
    }
    whole = {"id": "x", "model": "up", "created": 5, "choices": [{"message": message, "finish_reason": "stop"}]}
    chunks = [delta(reasoning="r"), delta(content="a"), delta(content="b"), call(0, "1", "f", "{}"), END, DONE]
    assert answer(*chunks) == CHAT.decode_response(json.dumps(whole).encode(), Restore())


def custom(text, call_id=None, index=0):
    begin = {"id": call_id, "type": "custom", "custom": {"name": "patch", "input": text}}
    return delta(tool_calls=[{"index": index, **(begin if call_id else {"custom": {"input": text}})}])


def test_free_text_of_a_custom_tool_is_kept_to_its_last_piece():
    pieces = [custom("*** ", "1"), custom('Begin "'), custom('"\n'), custom("", "2", 1), custom("more", index=1)]
    assert parts(*pieces, delta(content="")) == (
        ToolCall("1", "patch", '*** Begin ""\n', kind="text"),
        ToolCall("2", "patch", "more", kind="text"),
    )
