"""The estimate of a request's tokens: what is dear and what is cheap, and that nothing gets cheaper by growing."""

import base64
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, structs

from asgi_llm.metering.estimate import BYTES_PER_TOKEN, IMAGE, UNSEEN, estimate
from asgi_llm.neutral.request import (
    Blocks,
    Carrier,
    Compaction,
    Document,
    FileId,
    FunctionTool,
    Image,
    Inline,
    Instruction,
    Opaque,
    OutputFormat,
    Part,
    PlainText,
    Reasoning,
    Request,
    ServerCall,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
    Video,
)

EMPTY = Request(model="m", dialect="messages")
PROSE = "The committee agreed that the harbour would be rebuilt in stone before the winter storms came back again. "
CODE = 'for (i = 0; i < n; ++i) { if (a[i] != b[i]) { return -(x->y[i]); } }  // {"k": [1, 2]}\n'
CHINESE = "委員會同意在冬季風暴來臨之前用石頭重建港口並修復所有的道路"
BASE64 = base64.b64encode(random.Random(7).randbytes(3000)).decode()


def said(*parts: Part) -> Request:
    return structs.replace(EMPTY, turns=(Turn("user", parts),))


def cost(*parts: Part) -> int:
    return estimate(said(*parts)) - estimate(said())


def per_token(text: str) -> float:
    text *= -(-20_000 // len(text))
    return len(text) / cost(Text(text))


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [(PROSE, 4.2, 5.2), (CODE, 1.8, 3.8), (CHINESE, 0.9, 1.1), (BASE64, 1.3, 1.6), ("Добрый день, друзья. ", 1.7, 3)],
    ids=["prose", "code", "chinese", "base64", "russian"],
)
def test_characters_for_each_token_depend_on_what_they_are(text: str, least: float, most: float) -> None:
    assert least < per_token(text) < most


def test_long_text_costs_the_same_in_many_parts_as_in_one() -> None:
    """It is looked at in slices; where it is cut must not matter."""
    whole = cost(Text(PROSE * 5000))
    assert abs(whole - 5000 * (cost(Text(PROSE * 10)) / 10)) < whole / 100


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (Image(Inline("image/png", "AAAA" * 100_000)), IMAGE),
        (Image(Url("https://example.com/a.png"), detail="low"), IMAGE),
        (Document(Url("https://example.com/a.pdf")), UNSEEN),
        (Document(FileId("messages", "file_1")), UNSEEN),
        (Document(Inline("application/pdf", "A" * 40_000)), 30_000 // BYTES_PER_TOKEN["document"]),
        (Document(Inline("text/plain", "A" * 40_000)), 30_000 // BYTES_PER_TOKEN["text"]),
        (Video(Inline("video/mp4", "A" * 40_000)), 30_000 // BYTES_PER_TOKEN["recording"]),
        (Document(Blocks((Image(Url("https://example.com/a.png")),))), IMAGE),
        (ToolResult("1", (Image(Url("https://example.com/a.png")),)), IMAGE + 6),
        (Reasoning(carriers=(Carrier("anthropic.redacted", "x" * 800),), redacted=True), 100),
        (Reasoning(carriers=(Carrier("anthropic.signature", "x" * 800),)), 0),
        (Compaction(carrier=Carrier("openai.encrypted", "x" * 800)), 100),
    ],
)
def test_media_and_what_is_sealed_have_fixed_prices(part: Part, tokens: int) -> None:
    assert cost(part) == tokens


@pytest.mark.parametrize(
    "part",
    [
        Text(PROSE),
        Document(PlainText(PROSE)),
        Reasoning(PROSE),
        Reasoning(summary=(PROSE,)),
        ToolCall("1", "tell", msgspec.json.encode({"text": PROSE}).decode()),
        ToolResult("1", (Text(PROSE),)),
        ServerCall("messages", "web_search", arguments=PROSE),
        Opaque("messages", "new", Raw(msgspec.json.encode({"text": PROSE}))),
        Compaction(PROSE),
    ],
    ids=lambda part: type(part).__name__,
)
def test_text_counts_wherever_it_stands(part: Part) -> None:
    assert cost(Text(PROSE)) <= cost(part) <= cost(Text(PROSE)) + 20


def test_instructions_tools_and_the_form_of_the_answer_count() -> None:
    schema = Raw(b'{"type":"object","properties":{"city":{"type":"string","description":"Where"}}}')
    for more in (
        {"instructions": (Instruction((Text(PROSE),)),)},
        {"tools": (FunctionTool("weather", "Tells the weather", schema),)},
        {"output": OutputFormat("schema", schema=schema)},
    ):
        assert estimate(structs.replace(said(Text("Hi")), **more)) > estimate(said(Text("Hi"))) + 15


TEXTS = st.one_of(
    st.text(max_size=200),
    st.text("abcXYZ019+/_-=", max_size=300),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(0, 200)),
)
PARTS = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(lambda data: Image(Inline("image/png", data)), TEXTS),
    st.builds(lambda data: Document(Inline("application/pdf", data)), TEXTS),
    st.builds(lambda text: ToolCall("1", "f", text), TEXTS),
    st.builds(lambda text: ToolResult("1", (Text(text),)), TEXTS),
    st.builds(Reasoning, TEXTS),
)
TURNS = st.lists(st.builds(lambda parts: Turn("user", tuple(parts)), st.lists(PARTS, max_size=3)), max_size=6)


@given(TURNS, TURNS)
def test_a_conversation_never_gets_cheaper_by_growing(before: list[Turn], after: list[Turn]) -> None:
    short = estimate(structs.replace(EMPTY, turns=tuple(before)))
    long = estimate(structs.replace(EMPTY, turns=(*before, *after)))
    assert long >= short + 4 * len(after)


@given(TEXTS, TEXTS)
def test_a_text_never_gets_cheaper_by_going_on(before: str, after: str) -> None:
    assert cost(Text(before + after)) >= cost(Text(before))


def test_a_text_never_gets_cheaper_where_its_slices_meet() -> None:
    base = "A" * (65536 - 50)
    costs = [cost(Text(base + "A" * more)) for more in range(200)]
    assert costs == sorted(costs)


@given(TURNS)
def test_the_same_request_has_the_same_estimate(turns: list[Turn]) -> None:
    request = structs.replace(EMPTY, turns=tuple(turns))
    assert estimate(request) == estimate(msgspec.json.decode(msgspec.json.encode(request), type=Request)) > 0
