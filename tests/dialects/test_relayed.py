"""For every ordered pair of dialects, a dialect with itself included: whatever an upstream streams, cut anywhere, is
read as the same events, and reaches the caller as a stream that says the same."""

import json
from itertools import count, pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Restore
from asgi_llm.dialects.registry import DIALECTS as REGISTERED
from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.neutral.events import Event, Failure
from asgi_llm.neutral.fold import Grammar, fold, unfold
from asgi_llm.neutral.request import Carrier, DialectName, Part, Reasoning, Text, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

DIALECTS: dict[DialectName, Dialect] = {**REGISTERED, "gemini": GEMINI}
pairs = pytest.mark.parametrize(
    ("caller", "upstream"), [(caller, upstream) for caller in DIALECTS for upstream in DIALECTS]
)

TEXTS = st.sampled_from(["a", " b ", "é\u2028☃", 'quo"te\\', "data: x\n\nevent: y\r\n"])
ARGUMENTS = st.dictionaries(TEXTS, st.integers() | TEXTS | st.none(), max_size=2).map(json.dumps)
CARRIERS = st.sampled_from(
    [
        (),
        (Carrier("google.thought_signature", "c2ln", provider="google"),),
        (Carrier("anthropic.signature", "c2ln", provider="anthropic"),),
        (Carrier("openai.encrypted", "Z0FB", item_id="rs_1"),),
    ]
)
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Reasoning, TEXTS, carriers=CARRIERS),
    st.builds(Reasoning, summary=st.lists(TEXTS, min_size=1, max_size=2).map(tuple), carriers=CARRIERS),
    st.builds(ToolCall, st.sampled_from(["c1", "c2", "c3"]), st.sampled_from(["f", "g"]), ARGUMENTS, carriers=CARRIERS),
)
RESPONSES = st.builds(
    lambda parts, reason: Response(
        id="x",
        model="m",
        candidates=(Candidate(tuple(parts), Finish(reason)),),
        usage=Usage(fresh=3, cache_read=2, visible=5, reasoning=1),
        created=5,
    ),
    st.lists(PARTS, max_size=5),
    st.sampled_from(["end", "max_tokens", "filtered"]),
)


def _answer() -> Answer:
    numbers = count(1)
    return Answer(model="m", include_usage=True, mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 5.0)


def _written(dialect: Dialect, events: list[Event]) -> bytes:
    encoder = dialect.stream_encoder(_answer())
    return b"".join(encoder.feed([event]) for event in events)


def _read(dialect: Dialect, data: bytes, cuts: list[int]) -> list[Event]:
    decoder = dialect.stream_decoder(Restore())
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    events = [event for start, end in pairwise(places) for event in decoder.feed(data[start:end])]
    events += decoder.end()
    grammar = Grammar()
    for event in events:
        grammar.feed(event)
    grammar.end()
    return events


def _said(response: Response) -> Any:
    """What no translation may change. The parts of a summary are parted by white space in some dialects."""
    (candidate,) = response.candidates
    parts, usage = candidate.parts, response.usage
    assert usage is not None
    thoughts = "".join("".join((part.text, *part.summary)) for part in parts if isinstance(part, Reasoning))
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "thoughts": "".join(thoughts.split()),
        "calls": [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)],
        "cut": candidate.finish.reason if candidate.finish.reason in ("max_tokens", "filtered") else "ended",
        "usage": (usage.input, usage.cache_read, usage.output),
    }


@pairs
@settings(max_examples=settings().max_examples // 4)
@given(response=RESPONSES, cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_an_answer_is_relayed_whole(
    caller: DialectName, upstream: DialectName, response: Response, cuts: list[int]
) -> None:
    theirs, ours = DIALECTS[upstream], DIALECTS[caller]
    data = _written(theirs, unfold(response))
    events = _read(theirs, data, cuts)
    assert msgspec.json.encode(events) == msgspec.json.encode(_read(theirs, data, []))

    relayed = _written(ours, events)
    again = fold(_read(ours, relayed, cuts))

    if response.candidates[0].finish.reason == "filtered":  # a refusal in the words of some
        again = msgspec.structs.replace(
            again, candidates=(msgspec.structs.replace(again.candidates[0], finish=Finish("filtered")),)
        )
    assert _said(again) == _said(response)
    watcher = ours.watcher()
    watcher.feed(relayed)
    watcher.end()
    assert (watcher.ended, watcher.failure) == (True, None)


@pairs
@settings(max_examples=settings().max_examples // 4)
@given(response=RESPONSES, place=st.integers(1, 30))
def test_an_answer_that_breaks_off_is_relayed_as_broken(
    caller: DialectName, upstream: DialectName, response: Response, place: int
) -> None:
    theirs, ours = DIALECTS[upstream], DIALECTS[caller]
    begun = unfold(response)
    broken: list[Event] = [*begun[: min(place, len(begun) - 1)], Failure(UpstreamError("gone", cause=Cause.RESET))]
    events = _read(theirs, _written(theirs, broken), [])
    assert isinstance(events[-1], Failure)
    relayed = _written(ours, events)
    assert isinstance(_read(ours, relayed, [])[-1], Failure)
    watcher = ours.watcher()
    watcher.feed(relayed)
    watcher.end()
    assert watcher.failure is not None
