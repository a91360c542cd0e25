"""What we write, read by Google's own client; and what it writes, read by us."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
from google import genai
from google.genai import errors, types

from asgi_llm.dialects.gemini import GEMINI, GEMINI_ARRAY
from asgi_llm.dialects.interface import Answer, Restore
from asgi_llm.errors import Cause, Kind, PolicyError, UpstreamError
from asgi_llm.neutral.events import Event, Failure, Start
from asgi_llm.neutral.fold import fold, unfold
from asgi_llm.neutral.request import (
    Audio,
    Carrier,
    Citation,
    Document,
    FunctionTool,
    Image,
    Inline,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from asgi_llm.neutral.response import Candidate, Finish, Response
from asgi_llm.neutral.usage import Usage
from asgi_llm.testing import Answer as Scripted
from asgi_llm.testing import Call, ScriptedUpstream, Tokens, gemini_error, gemini_stream, gemini_text

ANSWER = Answer(model="the-model", mint=lambda prefix: f"{prefix}made", now=lambda: 0.0)
SECOND = Carrier("google.thought_signature", "c2lnMg==")
RESPONSE = Response(
    id="up-1",
    model="other",
    candidates=(
        Candidate(
            (
                Reasoning(summary=("Let me see.",), carriers=(Carrier("google.thought_signature", "c2ln"),)),
                Text("Grüße aus Köln.", citations=(Citation("gemini", "https://k.de", "Köln", start=10, end=14),)),
                ToolCall(
                    "c1", "look", '{"a":1.50,\n"b":"ü"}', carriers=(Carrier("google.thought_signature", "c2lnMg=="),)
                ),
                ToolCall("", "look", ""),
            ),
            Finish("tool_calls"),
        ),
    ),
    usage=Usage(fresh=7, cache_read=3, visible=5, reasoning=2, tool_prompt=1),
)


def client(*answers: Scripted) -> genai.Client:
    transport = ScriptedUpstream(answers).transport(httpx)
    options = types.HttpOptions(base_url="http://up", httpx_async_client=httpx.AsyncClient(transport=transport))
    return genai.Client(api_key="k", http_options=options)


def sse(events: Sequence[Event], *, between: bytes = b"") -> Scripted:
    encoder = GEMINI.stream_encoder(ANSWER)
    steps = [between, *(data for event in events if (data := encoder.feed([event]) + between))]
    return Scripted.http([step for step in steps if step], headers={"content-type": "text/event-stream"})


async def streamed(answer: Scripted) -> list[types.GenerateContentResponse]:
    stream: AsyncIterator[types.GenerateContentResponse] = await client(answer).aio.models.generate_content_stream(
        model="m", contents="hi"
    )
    return [piece async for piece in stream]


def parts_of(pieces: Sequence[types.GenerateContentResponse]) -> list[types.Part]:
    found: list[types.Part] = []
    for piece in pieces:
        for candidate in piece.candidates or []:
            found += (candidate.content.parts or []) if candidate.content else []
    return found


def check(parts: list[types.Part], last: types.GenerateContentResponse) -> None:
    assert "".join(part.text or "" for part in parts if part.thought) == "Let me see."
    assert "".join(part.text or "" for part in parts if not part.thought) == "Grüße aus Köln."
    assert [part.thought_signature for part in parts if part.thought_signature] == [b"sig", b"sig2"]
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.name, call.args) for call in calls] == [
        ("c1", "look", {"a": 1.5, "b": "ü"}),
        (None, "look", {}),
    ]
    assert last.candidates is not None
    (candidate,) = last.candidates
    assert candidate.finish_reason is types.FinishReason.STOP
    grounding = candidate.grounding_metadata
    assert grounding is not None
    assert grounding.grounding_chunks is not None
    assert grounding.grounding_chunks[0].web == types.GroundingChunkWeb(uri="https://k.de", title="Köln")
    assert grounding.grounding_supports is not None
    segment = grounding.grounding_supports[0].segment
    assert segment is not None
    start, end = segment.start_index, segment.end_index
    assert "Grüße aus Köln.".encode()[start:end].decode() == segment.text == "Köln"
    usage = last.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (10, 3)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (5, 2)
    assert (usage.tool_use_prompt_token_count, usage.total_token_count) == (1, 18)
    assert (last.model_version, last.response_id) == ("the-model", "up-1")


async def test_the_client_reads_a_whole_answer() -> None:
    answer = Scripted.json(json.loads(GEMINI.encode_response(RESPONSE, ANSWER)))
    read = await client(answer).aio.models.generate_content(model="m", contents="hi")
    check(parts_of([read]), read)


@pytest.mark.parametrize("between", [b"", GEMINI.keepalive])
async def test_the_client_reads_a_stream_with_and_without_signs_of_life(between: bytes) -> None:
    pieces = await streamed(sse(unfold(RESPONSE), between=between))
    check(parts_of(pieces), pieces[-1])


async def test_the_client_is_told_that_a_stream_broke_off() -> None:
    error = UpstreamError("It broke.", cause=Cause.RESET, kind=Kind.OVERLOADED, retry_after=2.5)
    with pytest.raises(errors.ServerError) as caught:
        await streamed(sse([*unfold(RESPONSE)[:4], Failure(error)]))
    assert (caught.value.code, caught.value.status, caught.value.message) == (503, "UNAVAILABLE", "It broke.")


async def test_the_client_reads_an_error() -> None:
    status, body = GEMINI.encode_error(
        PolicyError("Slow down.", kind=Kind.RATE_LIMIT, code="rate_limited", retry_after=31), "req-1"
    )
    with pytest.raises(errors.ClientError) as caught:
        await client(Scripted.json(json.loads(body), status)).aio.models.generate_content(model="m", contents="hi")
    assert (caught.value.code, caught.value.status, caught.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow down.")
    details = {entry["@type"].rpartition(".")[2]: entry for entry in caught.value.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "31s"
    assert details["ErrorInfo"]["metadata"] == {"error_code": "rate_limited", "request_id": "req-1"}


def test_an_array_is_json_whenever_it_ends() -> None:
    events = unfold(RESPONSE)
    error = UpstreamError("It broke.", cause=Cause.RESET)
    for ending in (events, [*events[:5], Failure(error)], [Start("a", "m")], [Failure(error)]):
        assert GEMINI_ARRAY.form is not None
        encoder, form = GEMINI_ARRAY.stream_encoder(ANSWER), GEMINI_ARRAY.form()
        pieces = [form.feed(encoder.feed([event])) + form.feed(encoder.keepalive()) for event in ending]
        elements: list[Any] = json.loads(b"".join(pieces) + form.end())
        for element in elements:
            if "error" not in element:
                types.GenerateContentResponse.model_validate(element)
        if isinstance(ending[-1], Failure):
            assert list(elements[-1]) == ["error"]


async def test_media_are_read() -> None:
    parts = (Image(Inline("image/png", "iVBORw==")), Audio(Inline("audio/wav", "UklGRg==")))
    response = Response(id="", model="", candidates=(Candidate(parts, Finish("end")),))
    for pieces in (
        await streamed(sse(unfold(response))),
        [types.GenerateContentResponse.model_validate_json(GEMINI.encode_response(response, ANSWER))],
    ):
        blobs = [part.inline_data for part in parts_of(pieces) if part.inline_data]
        assert [(blob.mime_type, blob.data) for blob in blobs] == [
            ("image/png", b"\x89PNG"),
            ("audio/wav", b"RIFF"),
        ]


OPTIONS: Any = {
    "calls": [Call("f", '{"x": [1, 2]}', "c9")],
    "reasoning": "First, think about it.",
    "tokens": Tokens(input=100, output=50, cached=10, reasoning=20),
    "model": "m-1",
}


@pytest.mark.parametrize("split", [0, 1])
async def test_the_test_kits_answers_are_what_the_client_reads(split: int) -> None:
    pieces = await streamed(gemini_stream(["Hel", "lo!"], split=split, **OPTIONS))
    whole = await client(gemini_text("Hello!", **OPTIONS)).aio.models.generate_content(model="m", contents="hi")
    for read in (pieces, [whole]):
        parts = parts_of(read)
        assert "".join(part.text or "" for part in parts if not part.thought) == "Hello!"
        assert "".join(part.text or "" for part in parts if part.thought) == "First, think about it."
        assert [part.function_call.args for part in parts if part.function_call] == [{"x": [1, 2]}]
        assert read[-1].usage_metadata is not None
        assert read[-1].usage_metadata.total_token_count == 150


async def test_the_test_kits_error_is_what_the_client_raises() -> None:
    with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
        await client(gemini_error(503, "Overloaded", kind="UNAVAILABLE")).aio.models.generate_content(
            model="m", contents="hi"
        )


async def asked(**arguments: Any) -> bytes:
    """The body that the client sends for ``generate_content(**arguments)``."""
    upstream = ScriptedUpstream([gemini_text()])
    http = httpx.AsyncClient(transport=upstream.transport(httpx))
    options = types.HttpOptions(base_url="http://up", httpx_async_client=http)
    await genai.Client(api_key="k", http_options=options).aio.models.generate_content(model="m", **arguments)
    return upstream.requests[0].body


async def test_a_request_of_the_client_is_understood() -> None:
    weather = types.FunctionDeclaration(
        name="weather",
        description="d",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={"where_at": types.Schema(type=types.Type.STRING, nullable=True, max_length=9)},
            required=["where_at"],
        ),
    )
    numbers = types.Schema(type=types.Type.ARRAY, min_items=2, items=types.Schema(type=types.Type.NUMBER))
    schema = {"type": "object", "properties": {"a_b": {"type": "integer"}}}
    body = await asked(
        contents=[
            types.Content(
                role="user",
                parts=[
                    types.Part(text="hi"),
                    types.Part.from_bytes(data=b"\xfb\xff\xfe", mime_type="image/png"),
                    types.Part.from_bytes(data=b"%PDF", mime_type="application/pdf"),
                ],
            ),
            types.Content(
                role="model",
                parts=[
                    types.Part(text="hm", thought=True),
                    types.Part(
                        function_call=types.FunctionCall(name="weather", args={"where_at": None}),
                        thought_signature=b"\xfb\xff",
                    ),
                    types.Part(function_call=types.FunctionCall(name="weather", args={})),
                ],
            ),
            types.Content(
                role="user",
                parts=[
                    types.Part.from_function_response(name="weather", response={"result": "sun"}),
                    types.Part.from_function_response(name="weather", response={"error": "no place"}),
                ],
            ),
        ],
        config=types.GenerateContentConfig(
            system_instruction="Be brief.",
            temperature=0.5,
            top_k=40,
            max_output_tokens=99,
            stop_sequences=["x"],
            thinking_config=types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW, include_thoughts=True),
            tools=[
                types.Tool(function_declarations=[weather]),
                types.Tool(
                    function_declarations=[types.FunctionDeclaration(name="g", parameters_json_schema=schema)],
                ),
            ],
            tool_config=types.ToolConfig(
                function_calling_config=types.FunctionCallingConfig(
                    mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["weather"]
                )
            ),
            response_mime_type="application/json",
            response_schema=numbers,
        ),
    )
    request = GEMINI.decode_request(body)
    user, model, tool = request.turns
    assert user.parts == (
        Text("hi"),
        Image(Inline("image/png", "+//+")),
        Document(Inline("application/pdf", "JVBERg==")),
    )
    thought, first, second = model.parts
    assert thought == Reasoning(summary=("hm",))
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.arguments == '{"where_at":null}'
    assert first.carriers == (Carrier("google.thought_signature", "+/8=", provider="google"),)
    assert first.id != second.id
    assert tool.parts == (
        ToolResult(first.id, (Text("sun"),), name="weather"),
        ToolResult(second.id, (Text("no place"),), name="weather", is_error=True),
    )
    weather_tool, plain_tool = request.tools
    assert isinstance(weather_tool, FunctionTool)
    assert isinstance(plain_tool, FunctionTool)
    assert weather_tool.schema
    assert plain_tool.schema
    assert json.loads(bytes(weather_tool.schema)) == {
        "type": "object",
        "properties": {"where_at": {"type": ["string", "null"], "maxLength": 9}},
        "required": ["where_at"],
    }
    assert json.loads(bytes(plain_tool.schema)) == schema
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.name) == ("tool", "weather")
    assert request.instructions[0].parts == (Text("Be brief."),)
    assert (request.sampling.temperature, request.sampling.top_k, request.max_output) == (0.5, 40, 99)
    assert request.reasoning is not None
    assert (request.reasoning.effort, request.reasoning.visible) == ("low", True)
    assert request.output is not None
    assert json.loads(bytes(request.output.schema or b"")) == {
        "type": "array",
        "minItems": 2,
        "items": {"type": "number"},
    }
    assert request.ext == {}


THOUGHT, TEXT, *CALLS = RESPONSE.candidates[0].parts


@pytest.mark.parametrize("parts", [(THOUGHT, TEXT), (Text("ok"), *CALLS), ()])
def test_the_fold_of_the_stream_is_the_whole_answer(parts: tuple[Part, ...]) -> None:
    response = msgspec.structs.replace(RESPONSE, candidates=(Candidate(parts, Finish("end")),))
    encoder, decoder = GEMINI.stream_encoder(ANSWER), GEMINI.stream_decoder(Restore())
    stream = fold(decoder.feed(encoder.feed(unfold(response))) + decoder.end())
    whole = GEMINI.decode_response(GEMINI.encode_response(response, ANSWER), Restore())
    assert (stream.id, stream.model, stream.candidates) == (whole.id, whole.model, whole.candidates)
    assert msgspec.json.encode(stream.usage) == msgspec.json.encode(whole.usage)
