"""A streamed answer, folded, is the whole answer; a whole answer, unfolded, is a legal stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    CarrierSet,
    CitationAdd,
    Event,
    Failure,
    Finished,
    MediaDelta,
    Ping,
    RawEvent,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import Folder, Grammar, GrammarError, fold, unfold
from asgi_llm.neutral.request import (
    Audio,
    CacheMark,
    Carrier,
    Citation,
    Compaction,
    Document,
    FileId,
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
    Url,
    Video,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

words = st.text(max_size=12)
maybe_words = st.none() | words
dialects = st.sampled_from(["chat", "responses", "messages", "gemini"])
raws = st.sampled_from([Raw(b"{}"), Raw(b'{"a":[1,2.50]}'), Raw(b"[]")])
counts = st.none() | st.integers(0, 10**9)
carriers = st.lists(
    st.builds(Carrier, st.sampled_from(["anthropic.signature", "openai.encrypted"]), words, maybe_words), max_size=2
).map(tuple)
citations = st.lists(st.builds(Citation, dialects, maybe_words, start=counts, end=counts), max_size=2).map(tuple)
sources = st.builds(Inline, words, words) | st.builds(Url, words) | st.builds(FileId, dialects, words)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, words, citations, st.none() | st.just(CacheMark("5m")), carriers),
    st.builds(Refusal, words),
    st.builds(Reasoning, words, st.lists(words, max_size=3).map(tuple), carriers, st.booleans(), maybe_words),
    st.builds(
        ToolCall,
        words,
        words,
        words,
        st.sampled_from(["json", "text"]),
        namespace=maybe_words,
        carriers=carriers,
        item_id=maybe_words,
    ),
    st.builds(ServerCall, dialects, words, maybe_words, maybe_words, words, maybe_words, st.none() | raws),
    st.builds(ServerResult, dialects, words, maybe_words, words, st.none() | raws),
    st.builds(Compaction, words, st.none() | st.builds(Carrier, st.just("openai.encrypted"), words)),
    st.builds(Opaque, dialects, words, raws),
    st.builds(Image, sources),
    st.builds(Document, sources, maybe_words),
    st.builds(Audio, sources, maybe_words),
    st.builds(Video, sources),
)
finishes = st.builds(Finish, st.sampled_from(["end", "max_tokens", "tool_calls"]), maybe_words, maybe_words)
usages = st.builds(Usage, counts, counts, visible=counts, reasoning=counts, raw=st.none() | raws)


@st.composite
def candidates(draw: st.DrawFn, index: int) -> Candidate:
    content = tuple(draw(st.lists(parts, max_size=5)))
    has_text = any(isinstance(part, Text | Refusal) for part in content)
    return Candidate(content, draw(finishes), index, draw(st.none() | raws) if has_text else None)


@st.composite
def responses(draw: st.DrawFn) -> Response:
    indexes = sorted(draw(st.sets(st.integers(0, 4), min_size=1, max_size=3)))
    return Response(
        id=draw(words),
        model=draw(words),
        candidates=tuple(draw(candidates(index)) for index in indexes),
        usage=draw(st.none() | usages),
        created=draw(counts),
        service_tier=draw(maybe_words),
    )


def check(events: list[Event], asked: int = 1) -> None:
    grammar = Grammar(asked)
    for event in events:
        grammar.feed(event)
    grammar.end()


@given(responses())
def test_fold_undoes_unfold(response: Response) -> None:
    assert response == fold(unfold(response))


@given(responses())
def test_unfold_gives_a_legal_stream(response: Response) -> None:
    check(unfold(response), len(response.candidates))


@given(responses(), st.data())
def test_cutting_deltas_into_smaller_ones_changes_nothing(response: Response, data: st.DataObject) -> None:
    """However an upstream cuts its text, arguments and thoughts, the whole is the same."""
    events: list[Event] = []
    for event in unfold(response):
        match event:
            case TextDelta() | ArgumentsDelta() | ReasoningDelta():
                cut = data.draw(st.integers(0, len(event.text)))
                events.append(structs.replace(event, text=event.text[:cut]))
                rest = structs.replace(event, text=event.text[cut:])
                events.append(structs.replace(rest, logprobs=None) if isinstance(rest, TextDelta) else rest)
            case _:
                events.append(event)
        events.append(Ping())
    check(events, len(response.candidates))
    assert response == fold(events)


def answer(*blocks: Event) -> list[Event]:
    return [Start("a", "m"), *blocks, Finished(Finish("end"))]


def test_interleaved_candidates_are_told_apart_and_ordered() -> None:
    events: list[Event] = [
        Start("a", "m"),
        BlockStart(0, Text(""), 1),
        BlockStart(0, Text(""), 0),
        TextDelta(0, "one", 1),
        TextDelta(0, "nil", 0),
        BlockStop(0, 0),
        BlockStop(0, 1),
        Finished(Finish("max_tokens"), 1),
        UsageUpdate(Usage(visible=2)),
        Finished(Finish("end"), 0),
    ]
    check(events, 2)
    assert (
        Candidate((Text("nil"),), Finish("end"), 0),
        Candidate((Text("one"),), Finish("max_tokens"), 1),
    ) == fold(events).candidates


def test_later_usage_wins_field_by_field() -> None:
    events: list[Event] = [
        Start("a", "m", usage=Usage(fresh=5, visible=1)),
        UsageUpdate(Usage(visible=9)),
        Finished(Finish("end")),
    ]
    assert Usage(fresh=5, visible=9) == fold(events).usage


def test_logprobs_of_many_deltas_are_strung_together() -> None:
    def logprobs(*raw: bytes) -> Raw | None:
        deltas = [TextDelta(0, "x", logprobs=Raw(piece)) for piece in raw]
        return fold(answer(BlockStart(0, Text("")), *deltas, BlockStop(0))).candidates[0].logprobs

    assert Raw(b'{"content":[1.50,2],"refusal":null}') == logprobs(
        b'{"content":[1.50],"refusal":null}', b'{"content":[2],"refusal":null}'
    )
    assert Raw(b"[1.50,2]") == logprobs(b"[1.50]", b"[2]")
    assert Raw(b'{"content": [1]}') == logprobs(b'{"content": [1]}')
    assert Raw(b'{"odd":1}') == logprobs(b"[1]", b'{"odd":1}')
    assert Raw(b"[1]") == logprobs(b'{"\xff":[1]}', b"[1]")
    assert Raw(b"[1]") == logprobs(b"[" * 100_000, b"[1]")


def test_media_arrives_in_pieces() -> None:
    for header in (Image, Document, Audio, Video):
        events = answer(
            BlockStart(0, header(Inline("a/b", ""))), MediaDelta(0, "AA"), MediaDelta(0, "=="), BlockStop(0)
        )
        assert (header(Inline("a/b", "AA==")),) == fold(events).candidates[0].parts


def test_a_carrier_that_comes_late_belongs_to_its_part() -> None:
    carrier = Carrier("openai.encrypted", "blob")
    events = answer(BlockStart(0, Compaction()), CarrierSet(0, carrier), BlockStop(0))
    assert (Compaction(carrier=carrier),) == fold(events).candidates[0].parts


def test_summary_numbers_need_not_be_dense() -> None:
    """An upstream that numbers its summary parts absurdly costs no memory."""
    deltas = [ReasoningDelta(0, "b", True, 10**12), ReasoningDelta(0, "a", True, 3)]
    events = answer(BlockStart(0, Reasoning()), *deltas, BlockStop(0))
    assert (Reasoning(summary=("a", "b")),) == fold(events).candidates[0].parts


def test_events_unknown_to_this_version_leave_no_trace() -> None:
    events = answer(RawEvent("messages", "new_event", Raw(b"{}")))
    check(events)
    assert fold(events).candidates[0].parts == ()


def test_a_failure_is_raised() -> None:
    error = UpstreamError("cut off", cause=Cause.TRUNCATED)
    events: list[Event] = [Start("a", "m"), BlockStart(0, Text("")), TextDelta(0, "half"), Failure(error)]
    check(events)
    with pytest.raises(UpstreamError) as caught:
        fold(events)
    assert error is caught.value


SIGNED = Carrier("text.replay", "")


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([], "no Start"),
        ([Finished(Finish("end"))], "no Start"),
        ([Start("a", "m")], "no Finished"),
        ([Start("a", "m"), BlockStart(0, Text(""))], "candidate 0 has no Finished"),
        ([Start("a", "m"), TextDelta(0, "x")], "TextDelta for block 0"),
        ([Start("a", "m"), BlockStart(0, Text("")), ArgumentsDelta(0, "{")], "ArgumentsDelta does not fit"),
        ([Start("a", "m"), BlockStart(0, Refusal("")), CarrierSet(0, SIGNED)], "CarrierSet does not"),
        ([Start("a", "m"), BlockStart(0, Image(Url("u"))), MediaDelta(0, "")], "MediaDelta does not fit"),
    ],
)
def test_what_cannot_be_folded_is_named(events: list[Event], message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        fold(events)


FAILURE = Failure(UpstreamError("cut off", cause=Cause.RESET))
END = Finished(Finish("end"))
TEXT = BlockStart(0, Text(""))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([TEXT], "BlockStart before Start"),
        ([Start("a", "m"), Start("a", "m")], "second Start"),
        ([Start("a", "m"), BlockStart(1, Text(""))], "block 0 is next"),
        ([Start("a", "m"), TEXT, BlockStart(1, Text(""))], "while block 0 is open"),
        ([Start("a", "m"), TEXT, BlockStop(0), TEXT], "block 1 is next"),
        ([Start("a", "m"), BlockStop(0)], "no block is open"),
        ([Start("a", "m"), TEXT, TextDelta(1, "x")], "block 0 is open"),
        ([Start("a", "m"), TEXT, TextDelta(0, "x", 1)], "no block is open"),
        ([Start("a", "m"), CitationAdd(0, Citation("chat"))], "CitationAdd for block 0"),
        ([Start("a", "m"), CarrierSet(0, Carrier("text.replay", ""))], "CarrierSet for block 0"),
        ([Start("a", "m"), TEXT, END], "Finished while block 0 is open"),
        ([Start("a", "m"), END, END], "after Finished"),
        ([Start("a", "m"), END, TEXT], "after Finished"),
        ([Start("a", "m"), END, FAILURE], "Failure after Finished"),
        ([Start("a", "m"), FAILURE, Ping()], "Ping after Failure"),
        ([Start("a", "m"), END, UsageUpdate(Usage())], "UsageUpdate after the last"),
        ([Start("a", "m")], "neither Finished nor Failure"),
        ([Start("a", "m"), BlockStart(0, Text(""), 1), END], "candidate 1 has no Finished"),
    ],
)
def test_grammar_names_what_is_out_of_order(events: list[Event], message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        check(events)


def test_a_failure_is_in_order_until_all_candidates_are_finished() -> None:
    check([FAILURE])
    check([Ping(), Start("a", "m"), TEXT, FAILURE])
    check([Start("a", "m"), END, FAILURE], asked=2)


def test_the_push_form_gives_the_same_answer() -> None:
    response = Response(id="a", model="m", candidates=(Candidate((Text("hi"),), Finish("end")),))
    folder = Folder()
    for event in unfold(response):
        folder.feed(event)
    assert response == folder.response()
