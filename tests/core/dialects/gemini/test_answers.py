"""Answers and streams of an upstream, read; and answers of other upstreams, written."""

import json
from typing import Any

import pytest
from msgspec import Raw

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Restore
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
    ReasoningDelta,
    Start,
    TextDelta,
    UsageUpdate,
)
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.request import Carrier, Citation, Reasoning, ServerCall, Text, ToolCall
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

ANSWER = Answer(model="m", mint=lambda prefix: f"{prefix}made", now=lambda: 0.0)
SIGNED = Carrier("google.thought_signature", "c2ln", provider="google")


def chunk(*parts: Any, finish: str | None = None, usage: Any = None, index: int = 0, **more: Any) -> Any:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index, **more}
    if finish:
        candidate["finishReason"] = finish
    piece: dict[str, Any] = {"candidates": [candidate], "modelVersion": "g", "responseId": "r"}
    return piece | ({"usageMetadata": usage} if usage else {})


def text(said: str) -> Any:
    return {"text": said}


def stream(*pieces: Any) -> list[Event]:
    decoder = GEMINI.stream_decoder(Restore())
    events = [event for piece in pieces for event in decoder.feed(b"data: %b\r\n\r\n" % json.dumps(piece).encode())]
    return events + decoder.end()


def whole(piece: Any) -> Candidate:
    return GEMINI.decode_response(json.dumps(piece).encode(), Restore()).candidates[0]


def test_a_stream_in_full() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    events = stream(
        chunk({"text": "Hm", "thought": True}, usage={"promptTokenCount": 5, "totalTokenCount": 5}),
        chunk(text("Hel")),
        chunk(text("lo")),
        chunk(call, {"functionCall": {"name": "g", "id": "i"}}),
        chunk(text(""), finish="STOP"),
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}},
    )
    (start, *rest) = events
    assert isinstance(start, Start)
    assert (start.id, start.model, start.usage and start.usage.fresh) == ("r", "g", 5)
    *rest, told, finished = rest
    assert rest == [
        BlockStart(0, Reasoning()),
        ReasoningDelta(0, "Hm", summary=True),
        BlockStop(0),
        BlockStart(1, Text("")),
        TextDelta(1, "Hel"),
        TextDelta(1, "lo"),
        BlockStop(1),
        BlockStart(2, ToolCall("", "f", carriers=(SIGNED,))),
        ArgumentsDelta(2, '{"a":1}'),
        BlockStop(2),
        BlockStart(3, ToolCall("i", "g")),
        ArgumentsDelta(3, "{}"),
        BlockStop(3),
    ]
    assert isinstance(told, UsageUpdate)
    assert (told.usage.visible, told.usage.reasoning) == (3, 2)
    assert finished == Finished(Finish("tool_calls"))


def test_a_signature_behind_the_text_is_on_the_text_and_ends_its_block() -> None:
    events = stream(chunk(text("Hi")), chunk({"text": "", "thoughtSignature": "c2ln"}), chunk(text("!"), finish="STOP"))
    assert fold(events).candidates[0].parts == (Text("Hi", carriers=(SIGNED,)), Text("!"))
    assert CarrierSet(0, SIGNED) in events


def test_candidates_of_a_stream_are_kept_apart() -> None:
    events = stream(
        chunk(text("a"), index=1),
        chunk(text("b")),
        chunk(text("c"), index=1, finish="STOP"),
        chunk(finish="MAX_TOKENS"),
    )
    first, second = fold(events).candidates  # in the order in which they began
    assert (first.parts, first.finish.reason) == ((Text("ac"),), "end")
    assert (second.parts, second.finish.reason) == ((Text("b"),), "max_tokens")


def test_snake_case_answers_of_imitations_are_read() -> None:
    piece = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finish_reason": "STOP"}], "response_id": "r"}
    assert fold(stream(piece)).candidates[0].finish.reason == "end"
    assert whole(piece).parts == (Text("x"),)


GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b", "title": "B"}}],
}


def test_bytes_become_code_points() -> None:
    said = "Grüß, Köln"
    assert said[6:] == "Köln"
    supports = {"segment": {"startIndex": 8, "endIndex": 13}, "groundingChunkIndices": [1, 9]}
    grounding = {**GROUNDING, "groundingSupports": [supports]}
    cited = Citation("gemini", "https://b", "B", start=6, end=10)
    assert whole(chunk(text(said), finish="STOP", groundingMetadata=grounding)).parts == (Text(said, (cited,)),)
    events = stream(chunk(text(said[:3])), chunk(text(said[3:]), finish="STOP", groundingMetadata=grounding))
    assert CitationAdd(0, cited) in events


def test_citations_find_their_part() -> None:
    supports = {"segment": {"partIndex": 2, "startIndex": 0, "endIndex": 1}, "groundingChunkIndices": [0]}
    grounding = {**GROUNDING, "groundingSupports": [supports]}
    answer = chunk({"text": "t", "thought": True}, text("a"), text("b"), finish="STOP", groundingMetadata=grounding)
    _, first, second = whole(answer).parts
    assert first == Text("a")
    assert second == Text("b", (Citation("gemini", "https://a", "A", start=0, end=1),))


@pytest.mark.parametrize(
    ("word", "calls", "expected"),
    [
        ("STOP", False, "end"),
        ("STOP", True, "tool_calls"),
        ("MAX_TOKENS", True, "max_tokens"),
        ("SAFETY", False, "filtered"),
        ("RECITATION", False, "filtered"),
        ("IMAGE_SAFETY", False, "filtered"),
        ("MODEL_ARMOR", False, "filtered"),
        ("MALFORMED_FUNCTION_CALL", False, "malformed_call"),
        ("UNEXPECTED_TOOL_CALL", False, "malformed_call"),
        ("CONTINUATION", False, "pause"),
        ("LANGUAGE", False, "other"),
        ("SOMETHING_NEW", False, "other"),
    ],
)
def test_reasons_to_finish(word: str, calls: bool, expected: str) -> None:
    parts = [{"functionCall": {"name": "f", "args": {}}}] if calls else [text("x")]
    piece = chunk(*parts, finish=word, finishMessage="why")
    finishes = [fold(stream(piece)).candidates[0].finish]
    if expected != "malformed_call":
        finishes.append(whole(piece).finish)
    for finish in finishes:
        assert finish.reason == expected
        if expected in ("filtered", "malformed_call", "other"):
            assert (finish.category, finish.detail) == (word, "why")


def test_a_whole_answer_that_is_no_more_than_an_unreadable_call_is_an_error() -> None:
    bad = {"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}
    with pytest.raises(UpstreamError) as caught:
        GEMINI.decode_response(json.dumps({"candidates": [bad]}).encode(), Restore())
    assert (caught.value.cause, caught.value.code) == (Cause.CONTENT, "malformed_call")
    good = {"finishReason": "STOP", "index": 1, "content": {"parts": [{"text": "x"}]}}
    answer = GEMINI.decode_response(json.dumps({"candidates": [bad, good]}).encode(), Restore())
    assert [candidate.finish.reason for candidate in answer.candidates] == ["malformed_call", "end"]


@pytest.mark.parametrize("word", ["SAFETY", "BLOCKLIST", "SPII", "LANGUAGE", "MAX_TOKENS", "STOP", "NO_IMAGE"])
def test_the_apis_own_reason_is_kept(word: str) -> None:
    answer = GEMINI.decode_response(json.dumps(chunk(text("x"), finish=word)).encode(), Restore())
    assert json.loads(GEMINI.encode_response(answer, ANSWER))["candidates"][0]["finishReason"] == word


def test_a_blocked_prompt_is_an_empty_filtered_answer() -> None:
    piece = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}}
    expected = (Candidate((), Finish("filtered", category="PROHIBITED_CONTENT")),)
    assert fold(stream(piece)).candidates == expected
    assert GEMINI.decode_response(json.dumps(piece).encode(), Restore()).candidates == expected


def failure(events: list[Event]) -> UpstreamError:
    assert sum(isinstance(event, Failure | Finished) for event in events) == 1
    last = events[-1]
    assert isinstance(last, Failure)
    assert isinstance(last.error, UpstreamError)
    return last.error


@pytest.mark.parametrize(
    "pieces", [(), (chunk(text("half")),), (chunk(text("a"), finish="STOP"), chunk(text("b"), index=1))]
)
def test_a_stream_without_its_end_is_truncated(pieces: Any) -> None:
    assert failure(stream(*pieces)).cause is Cause.TRUNCATED


def test_ends_and_comments_of_imitations_are_passed_over() -> None:
    decoder = GEMINI.stream_decoder(Restore())
    piece = json.dumps(chunk(text("a"), finish="STOP")).encode()
    data = b": hello\n\nevent: x\ndata:%b\n\ndata: [DONE]\n\n" % piece
    assert fold(decoder.feed(data) + decoder.end()).candidates == (Candidate((Text("a"),), Finish("end")),)


def test_an_error_in_the_stream_ends_it() -> None:
    error = {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}
    found = failure(stream(chunk(text("half")), error, chunk(text("more"), finish="STOP")))
    assert (found.cause, found.kind, found.message) == (Cause.IN_BAND, Kind.OVERLOADED, "Overloaded.")


@pytest.mark.parametrize("data", [b"data: <html>\n\n", b'data: {"candidates":5}\n\n', b"[5, {]", b'{"error":"odd"}'])
def test_what_is_no_answer_is_a_failure(data: bytes) -> None:
    decoder = GEMINI.stream_decoder(Restore())
    assert failure(decoder.feed(data) + decoder.end()).message


def test_an_error_before_the_stream_in_a_list_of_one() -> None:
    error = [{"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}]
    decoder = GEMINI.stream_decoder(Restore())
    assert failure(decoder.feed(json.dumps(error, indent=2).encode())).kind is Kind.RATE_LIMIT


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"candidates":[]}', b'{"candidates":[{"content":5}]}']
)
def test_a_body_that_is_no_answer_is_an_error_of_the_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        GEMINI.decode_response(body, Restore())
    assert caught.value.cause is Cause.CONTENT


def test_usage_there_and_back() -> None:
    metadata = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "toolUsePromptTokenCount": 2,
        "totalTokenCount": 20,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}, {"modality": "AUDIO", "tokenCount": 1}],
    }
    body = json.dumps({**chunk(text("x"), finish="STOP"), "usageMetadata": metadata}).encode()
    usage = GEMINI.usage(Raw(json.dumps(metadata).encode()))
    assert usage is not None
    assert (usage.fresh, usage.cache_read, usage.visible, usage.reasoning, usage.tool_prompt) == (6, 4, 5, 3, 2)
    assert (usage.audio_in, usage.input, usage.output) == (1, 12, 8)
    again = json.loads(GEMINI.encode_response(GEMINI.decode_response(body, Restore()), ANSWER))["usageMetadata"]
    assert again == {name: count for name, count in metadata.items() if name != "promptTokensDetails"}


def test_logprobs_there_and_back() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "b", "logProbability": -1.5}]}
        ],
    }
    piece = chunk(text("é"), finish="STOP", logprobsResult=result)
    answer = GEMINI.decode_response(json.dumps(piece).encode(), Restore())
    (entry,) = json.loads(bytes(answer.candidates[0].logprobs or b""))["content"]
    assert (entry["token"], entry["logprob"], entry["bytes"]) == ("é", -0.5, [195, 169])
    assert [top["token"] for top in entry["top_logprobs"]] == ["é", "b"]
    written = json.loads(GEMINI.encode_response(answer, ANSWER))
    assert written["candidates"][0]["logprobsResult"] == result
    assert fold(stream(piece)).candidates[0].logprobs == answer.candidates[0].logprobs


def test_a_call_that_is_no_object_is_told_as_malformed() -> None:
    candidate = Candidate((Text("a"), ToolCall("1", "f", "broken")), Finish("tool_calls"))
    answer = Response(id="i", model="m", candidates=(candidate,))
    written = json.loads(GEMINI.encode_response(answer, ANSWER))["candidates"][0]
    assert (written["finishReason"], written["content"]["parts"]) == ("MALFORMED_FUNCTION_CALL", [{"text": "a"}])
    assert written["finishMessage"]
    last = GEMINI.stream_encoder(ANSWER).feed(unfold(answer)).strip().split(b"\n\n")[-1]
    assert json.loads(last[6:])["candidates"][0]["finishReason"] == "MALFORMED_FUNCTION_CALL"


def test_a_call_that_was_cut_off_ends_at_the_limit() -> None:
    candidate = Candidate((ToolCall("1", "f", '{"a":'),), Finish("max_tokens"))
    answer = Response(id="i", model="m", candidates=(candidate,))
    written = json.loads(GEMINI.encode_response(answer, ANSWER))["candidates"][0]
    last = GEMINI.stream_encoder(ANSWER).feed(unfold(answer)).strip().split(b"\n\n")[-1]
    for told in (written, json.loads(last[6:])["candidates"][0]):
        assert (told["finishReason"], told["finishMessage"]) == ("MAX_TOKENS", "A tool call was cut off.")


def test_a_call_without_a_name_is_none() -> None:
    piece = chunk({"functionCall": {"args": {}}}, finish="STOP")
    with pytest.raises(UpstreamError):
        GEMINI.decode_response(json.dumps(piece).encode(), Restore())
    assert isinstance(stream(piece)[-1], Failure)


def test_arguments_in_fragments_become_one_call() -> None:
    encoder = GEMINI.stream_encoder(ANSWER)
    assert encoder.feed([Start("i", "x"), BlockStart(0, ToolCall("1", "f", namespace="ns"))]) == b""
    assert encoder.feed([ArgumentsDelta(0, '{"a":'), ArgumentsDelta(0, "1.0}")]) == b""
    (line,) = encoder.feed([BlockStop(0)]).strip().split(b"\n")
    (part,) = json.loads(line[6:])["candidates"][0]["content"]["parts"]
    assert part == {"functionCall": {"id": "1", "name": "ns__f", "args": {"a": 1.0}}}


def test_nothing_follows_the_end() -> None:
    encoder = GEMINI.stream_encoder(ANSWER)
    encoder.feed([Start("i", "x"), BlockStart(0, Text("")), TextDelta(0, "a"), BlockStop(0), Finished(Finish("end"))])
    broken = Failure(UpstreamError("late", cause=Cause.RESET))
    assert encoder.feed([TextDelta(0, "b"), Finished(Finish("end")), broken]) == b""
    failed = GEMINI.stream_encoder(ANSWER)
    assert failed.feed([Start("i", "x"), broken]) == GEMINI.encode_failure(broken.error)
    assert failed.feed([broken, TextDelta(0, "b")]) == failed.keepalive() == b""


def test_what_another_provider_ran_is_not_written() -> None:
    parts = (ServerCall("messages", "web_search"), Text("x"))
    answer = Response(id="", model="m", candidates=(Candidate(parts, Finish("end")),), usage=Usage(fresh=1))
    written = json.loads(GEMINI.encode_response(answer, ANSWER))
    assert written["candidates"][0]["content"]["parts"] == [{"text": "x"}]
    assert written["responseId"] == "made"


@pytest.mark.parametrize("usage", [b"", b"[]", b"3", b"null", b'{"promptTokenCount":"x"}', b"\xff"])
def test_what_is_no_usage_is_none(usage: bytes) -> None:
    assert GEMINI.usage(Raw(usage)) is None
