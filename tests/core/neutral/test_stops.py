"""An answer is cut at the first stop sequence in its text, however the text arrives."""

from hypothesis import example, given
from hypothesis import strategies as st

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import (
    ArgumentsDelta,
    BlockStart,
    BlockStop,
    Event,
    Failure,
    Finished,
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import Folder, Grammar, fold
from asgi_llm.neutral.request import Citation, Reasoning, Text, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.stops import Cutter, cut
from asgi_llm.neutral.usage import Usage

END = Finish("end")
LETTERS = st.text("ab\né", max_size=12)
STOPS = st.lists(st.text("ab\né", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


def answered(*texts: str) -> list[Event]:
    deltas = [TextDelta(0, text) for text in texts]
    return [
        Start("i", "m"),
        BlockStart(0, Text("")),
        *deltas,
        BlockStop(0),
        UsageUpdate(Usage(visible=3)),
        Finished(END),
    ]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@given(st.lists(LETTERS, max_size=8), STOPS)
@example(["aab"], ("ab",))
@example(["a", "a", "b"], ("ab",))
@example(["a", "b", "a"], ("aba", "b"))
def test_streamed_or_whole_the_text_ends_before_the_first_stop(pieces: list[str], stops: tuple[str, ...]) -> None:
    whole = "".join(pieces)
    cutter = Cutter(stops)
    out = [said for event in answered(*pieces) for said in cutter.feed([event])]
    grammar = Grammar()
    for event in out:
        grammar.feed(event)
    grammar.end()
    response = Response(id="i", model="m", candidates=(Candidate((Text(whole),), END),))
    (candidate,) = cut(response, stops).candidates
    said = "".join(part.text for part in candidate.parts if isinstance(part, Text))
    assert (text_of(out), fold(out).candidates[0].finish) == (said, candidate.finish)
    assert cutter.over == any(stop in whole for stop in stops)
    assert not any(stop in said for stop in stops)
    assert whole.startswith(said)
    if cutter.over:
        assert candidate.finish.reason == "stop_sequence"
        assert whole[len(said) :].startswith(candidate.finish.stop_sequence or "?")
    else:
        assert (said, candidate.finish) == (whole, END)


@given(LETTERS, STOPS)
def test_no_more_is_held_back_than_may_become_a_stop(text: str, stops: tuple[str, ...]) -> None:
    cutter = Cutter(stops)
    said = text_of(cutter.feed([Start("i", "m"), BlockStart(0, Text("")), TextDelta(0, text)]))
    held = text[len(said) :]
    if not cutter.over:
        assert not held or any(stop.startswith(held) for stop in stops)


def test_thoughts_and_calls_are_not_looked_at() -> None:
    events: list[Event] = [
        Start("i", "m"),
        BlockStart(0, Reasoning()),
        ReasoningDelta(0, "END"),
        BlockStop(0),
        BlockStart(1, ToolCall("c", "f")),
        ArgumentsDelta(1, '"END"'),
        BlockStop(1),
        Finished(Finish("tool_calls")),
    ]
    cutter = Cutter(("END",))
    assert cutter.feed(events) == events
    assert not cutter.over
    assert cut(fold(events), ("END",)) == fold(events)


def test_each_candidate_is_cut_for_itself_and_the_others_go_on() -> None:
    events: list[Event] = [Start("i", "m")]
    events += [BlockStart(0, Text(""), candidate) for candidate in (0, 1)]
    events += [TextDelta(0, "one END two", 0), TextDelta(0, "three", 1), TextDelta(0, " four", 1)]
    events += [BlockStop(0, 0), BlockStop(0, 1), Finished(END, 0), UsageUpdate(Usage(visible=9)), Finished(END, 1)]
    cutter, grammar, folder = Cutter(("END",), 2), Grammar(2), Folder()
    for event in cutter.feed(events):
        grammar.feed(event)
        folder.feed(event)
    grammar.end()
    first, second = folder.response().candidates
    assert (first.parts, first.finish.reason) == ((Text("one "),), "stop_sequence")
    assert (second.parts, second.finish) == ((Text("three four"),), END)
    assert folder.response().usage == Usage(visible=9)


def test_what_is_held_back_is_told_before_a_failure() -> None:
    error = UpstreamError("gone", cause=Cause.TRUNCATED)
    cutter = Cutter(("END",))
    out = cutter.feed([Start("i", "m"), BlockStart(0, Text("")), TextDelta(0, "so E"), Failure(error)])
    assert out[2:] == [TextDelta(0, "so "), TextDelta(0, "E"), Failure(error)]


def test_citations_of_what_was_cut_off_go_with_it() -> None:
    near, far = Citation("chat", start=0, end=3), Citation("chat", start=4, end=9)
    part = Text("one END two", citations=(near, far))
    whole = cut(Response(id="i", model="m", candidates=(Candidate((part, Text("x")), END),)), ("END",))
    assert whole.candidates[0].parts == (Text("one ", citations=(near,)),)
