"""What holds for every body, stream and conversation."""

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from asgi_llm.dialects.gemini import GEMINI, GEMINI_ARRAY
from asgi_llm.dialects.interface import Answer, Profile, Restore
from asgi_llm.errors import ClientError, UpstreamError
from asgi_llm.neutral.events import Event, Failure
from asgi_llm.neutral.fold import Grammar, fold, unfold
from asgi_llm.neutral.request import (
    Carrier,
    Citation,
    Image,
    Inline,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Request,
    Role,
    ServerCall,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage

ANSWER = Answer(model="m", mint=lambda prefix: f"{prefix}made", now=lambda: 0.0)
SIGNED = Carrier("google.thought_signature", "c2ln", provider="google")
FOREIGN = Carrier("anthropic.signature", "s", provider="anthropic")

WORDS = st.sampled_from(
    ["contents", "parts", "role", "text", "user", "model", "functionCall", "function_call", "functionResponse", "name",
     "args", "response", "inlineData", "inline_data", "data", "mime_type", "fileData", "thought", "thoughtSignature",
     "tools", "functionDeclarations", "parameters", "generationConfig", "thinkingConfig", "thinking_budget",
     "responseSchema", "toolConfig", "functionCallingConfig", "mode", "systemInstruction", "stopSequences", "id",
     "candidates", "content", "finishReason", "usageMetadata", "error", "groundingMetadata", "promptFeedback"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)
PART = st.fixed_dictionaries({}, optional={"text": JSON, "functionCall": JSON, "thoughtSignature": JSON, "x_y": JSON})
CONTENTS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "model"]), "parts": st.lists(PART, max_size=3) | JSON}),
    max_size=3,
)


@given(st.one_of(JSON, st.fixed_dictionaries({"contents": CONTENTS}, optional={"tools": JSON, "toolConfig": JSON})))
def test_any_json_is_understood_or_a_client_error(value: Any) -> None:
    with suppress(ClientError):
        request = GEMINI.decode_request(json.dumps(value).encode())
        GEMINI.encode_request(msgspec.structs.replace(request, model="gemini-3-pro"), Profile())


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error_with_a_name(data: bytes) -> None:
    for body in (data, b'{"contents":' + data, b"[" * 5000 + data):
        with suppress(ClientError):
            GEMINI.decode_request(body)
        with suppress(UpstreamError):
            GEMINI.decode_response(body, Restore())
        GEMINI.usage(msgspec.Raw(body))
        GEMINI.decode_error(500, [], body)


def decoded(data: bytes, cuts: list[int]) -> list[Event]:
    decoder = GEMINI.stream_decoder(Restore())
    events: list[Event] = []
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        events += decoder.feed(data[start:end])
    return events + decoder.end()


def legal(events: list[Event], candidates: int = 1) -> None:
    grammar = Grammar(candidates)
    for event in events:
        grammar.feed(event)
    grammar.end()


CONTENT = st.fixed_dictionaries({"parts": st.lists(PART)})
CHUNK = st.fixed_dictionaries({"candidates": st.lists(st.fixed_dictionaries({"content": CONTENT}))})
PIECES = st.lists(JSON | CHUNK, max_size=4)


@given(PIECES, st.booleans(), st.lists(st.integers(0, 400), max_size=6))
def test_whatever_an_upstream_streams_the_events_are_legal(pieces: list[Any], array: bool, cuts: list[int]) -> None:
    if array:
        data = json.dumps(pieces, indent=1).encode()
    else:
        data = b"".join(b"data: " + json.dumps(piece).encode() + b"\r\n\r\n" for piece in pieces)
    events = decoded(data, cuts)
    legal(events, 99)
    assert msgspec.json.encode([e for e in events if not isinstance(e, Failure)]) == msgspec.json.encode(
        [e for e in decoded(data, []) if not isinstance(e, Failure)]
    )


TEXTS = st.sampled_from(["", "a", "é\u2028\n", '"}{\\'])
CALLS = st.builds(
    ToolCall, st.sampled_from(["", "a", "b"]), st.sampled_from(["f", "g h"]), st.sampled_from(["", "{}", '{"a":\n1.0}'])
)
SAID: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, TEXTS, carriers=st.sampled_from([(), (SIGNED,)])),
    st.builds(Text, TEXTS, st.just((Citation("chat", "u", start=0, end=1),))),
    st.builds(Refusal, TEXTS),
    st.builds(Reasoning, TEXTS, st.sampled_from([(), ("s", "t")]), st.sampled_from([(), (SIGNED,), (FOREIGN,)])),
    CALLS,
    st.builds(Image, st.just(Inline("image/png", "aGk="))),
    st.just(Opaque("gemini", "later", Raw(b'{"later":\n{"a":1}}'))),
    st.just(Opaque("messages", "hologram", Raw(b"{}"))),
    st.just(ServerCall("gemini", "code", raw=Raw(b'{"executableCode":{"code":"x"}}'))),
)
CANDIDATES = st.builds(
    Candidate,
    st.lists(SAID, max_size=5).map(tuple),
    st.builds(Finish, st.sampled_from(["end", "max_tokens", "refusal", "pause", "malformed_call", "tool_calls"])),
)
RESPONSES = st.lists(CANDIDATES, min_size=1, max_size=3).map(
    lambda found: Response(
        id="i",
        model="m",
        usage=Usage(fresh=1, visible=2),
        candidates=tuple(msgspec.structs.replace(c, index=i) for i, c in enumerate(found)),
    )
)


@given(RESPONSES, st.lists(st.integers(0, 3000), max_size=8))
def test_what_is_written_is_read_again_in_any_chunking(response: Response, cuts: list[int]) -> None:
    events = unfold(response)
    assert GEMINI_ARRAY.form is not None
    encoder, form = GEMINI.stream_encoder(ANSWER), GEMINI_ARRAY.form()
    data = b"".join(encoder.feed([event]) for event in events)
    assert all(line.startswith(b"data: {") or not line for line in data.split(b"\n"))
    elements = form.feed(data) + form.end()
    assert json.loads(elements) == [json.loads(line[6:]) for line in data.split(b"\n") if line]
    watcher = GEMINI.watcher()
    watcher.feed(data)
    assert watcher.ended
    assert watcher.at_boundary
    for stream in (data, elements):
        read = decoded(stream, cuts)
        legal(read, len(response.candidates))
        again = fold(read)
        for candidate, before in zip(again.candidates, response.candidates, strict=True):
            assert said(candidate) == said(before)
        assert again.usage is not None
        assert (again.usage.fresh, again.usage.visible) == (1, 2)
        assert msgspec.json.encode(read) == msgspec.json.encode(decoded(stream, []))
    if all(candidate.finish.reason == "malformed_call" for candidate in response.candidates):
        return  # an error, where nothing is streamed
    whole = GEMINI.decode_response(GEMINI.encode_response(response, ANSWER), Restore())
    assert [said(candidate) for candidate in whole.candidates] == [said(c) for c in response.candidates]


def said(candidate: Candidate) -> tuple[str, list[tuple[str, Any]]]:
    """The text, and the calls, of an answer."""
    text = "".join(part.text for part in candidate.parts if isinstance(part, Text | Refusal))
    calls = [part for part in candidate.parts if isinstance(part, ToolCall)]
    return text, [(call.id, json.loads(call.arguments or "{}")) for call in calls]


HEARD: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(
        ToolResult,
        st.sampled_from(["", "a", "b", "x"]),
        st.lists(st.builds(Text, TEXTS), max_size=2).map(tuple),
        is_error=st.sampled_from([None, True]),
    ),
)


def turn(role: Role) -> st.SearchStrategy[Turn]:
    parts = SAID if role == "assistant" else HEARD if role == "user" else st.builds(Text, TEXTS)
    return st.lists(parts, max_size=4).map(lambda found: Turn(role, tuple(found)))


TURNS = st.lists(st.one_of(turn("user"), turn("assistant"), turn("system")), max_size=7)
MODELS = st.sampled_from(["gemini-3-pro-preview", "gemini-2.5-flash", "gemini-flash-latest"])


def contents_of(turns: list[Turn], model: str) -> list[dict[str, Any]]:
    # The user has the last word, because an answer cannot be continued; what only others can read is not sent here.
    kept = [Turn(t.role, tuple(p for p in t.parts if not isinstance(p, Opaque))) for t in turns]
    request = Request(model=model, dialect="chat", turns=(*kept, Turn("user", (Text("end"),))))
    found: list[dict[str, Any]] = json.loads(GEMINI.encode_request(request, Profile()).body)["contents"]
    return found


@given(TURNS, MODELS)
def test_the_demands_of_the_api_hold(turns: list[Turn], model: str) -> None:
    contents = contents_of(turns, model)
    assert contents[0]["role"] == contents[-1]["role"] == "user"
    ids: list[str] = []
    for before, content in zip([None, *contents], contents, strict=False):
        role, parts = content["role"], content["parts"]
        assert parts
        calls = [part for part in parts if "functionCall" in part]
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        asked = [part["functionCall"] for part in before["parts"] if "functionCall" in part] if before else []
        assert [result["name"] for result in results] == [call["name"] for call in asked]
        assert [result.get("id") for result in results] == [call.get("id") for call in asked]
        assert len(results) in (0, len(parts))
        assert role == "model" or not calls
        if calls and model != "gemini-2.5-flash":
            assert calls[0]["thoughtSignature"]
        if role == "model":
            assert before is not None
            assert before["role"] == "user"
        ids += [part["functionCall"]["id"] for part in calls if "id" in part["functionCall"]]
    assert len(set(ids)) == len(ids)


@given(TURNS, TURNS, MODELS)
def test_more_turns_only_append(turns: list[Turn], more: list[Turn], model: str) -> None:
    """As long as what comes later does not answer earlier calls, what was written stays as it was."""
    later = [Turn(t.role, tuple(part for part in t.parts if not isinstance(part, ToolResult))) for t in more]

    def parts(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(content["role"], json.dumps(part)) for content in found for part in content["parts"]]

    shorter = parts(contents_of(turns, model))
    longer = parts(contents_of([*turns, Turn("user", (Text("end"),)), *later], model))
    assert longer[: len(shorter)] == shorter


@given(RESPONSES, st.sampled_from(["camel", "stream"]))
def test_a_foreign_answer_comes_back_with_its_proofs(response: Response, way: str) -> None:
    """What another provider signed is in the caller's history again, each thought once, whatever became of the rest."""
    candidate = response.candidates[0]
    response = msgspec.structs.replace(response, candidates=(candidate,))
    if way == "camel":
        pieces = [json.loads(GEMINI.encode_response(response, ANSWER))]
    else:
        data = GEMINI.stream_encoder(ANSWER).feed(unfold(response))
        pieces = [json.loads(line[6:]) for line in data.split(b"\n") if line]
    parts = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    # Most clients drop the thoughts from the history and keep the signatures.
    kept = [part for part in parts if not part.get("thought")]
    body = {"contents": [{"parts": [{"text": "q"}]}, {"role": "model", "parts": kept}]}
    request = GEMINI.decode_request(json.dumps(body).encode())
    found = [part for part in request.turns[1].parts if isinstance(part, Reasoning)]
    sent = [part for part in candidate.parts if isinstance(part, Reasoning) and FOREIGN in part.carriers]
    assert [part.carriers for part in found] == [part.carriers for part in sent]
    if way == "camel":
        assert found == sent
