"""The official OpenAI SDK at the endpoints that are no dialect's: against the echo, and against a scripted upstream."""

import io
import json
from typing import Any

import openai
import pytest

from asgi_llm.testing import Answer, Recorded

ECHO = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


class Speaker:
    def __init__(self, provider: str) -> None:
        self.settings = {"provider": provider}


def client_of(desk: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{desk.url}/v1", api_key="sk-caller", max_retries=0)


@pytest.fixture
async def echo(open_gateway: Any) -> Any:
    desk = await open_gateway(ECHO)
    async with client_of(desk) as client:
        yield client, desk


async def test_embeddings(echo: Any) -> None:
    client, desk = echo
    packed = await client.embeddings.create(model="echo", input=["a cat", "a dog"], dimensions=16)
    plain = await client.embeddings.create(
        model="echo", input=["a cat", "a dog"], dimensions=16, encoding_format="float"
    )
    # Numbers of 32 bits in either form.
    assert [item.embedding for item in packed.data] == [item.embedding for item in plain.data]
    assert [len(item.embedding) for item in plain.data] == [16, 16]
    assert plain.usage.total_tokens == 4
    exchange = await desk.ended()
    assert (exchange.endpoint, exchange.usage.input) == ("embeddings", 4)


async def test_completions(echo: Any) -> None:
    client, desk = echo
    whole = await client.completions.create(model="echo", prompt="Hello there")
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == ("Hello there", "stop")
    await desk.ended()
    stream = await client.completions.create(model="echo", prompt="Hello there", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello there"
    assert (await desk.ended()).usage.output == 2


async def test_moderations(echo: Any) -> None:
    client, _ = echo
    said = await client.moderations.create(input=["kind words", "harmful words"])
    assert [result.flagged for result in said.results] == [False, True]


# The SDK calls what OpenAI is about to take away by that name; other servers have it.
old = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@old
async def test_images(echo: Any) -> None:
    client, desk = echo
    said = await client.images.generate(model="echo", prompt="a house")
    assert said.data[0].b64_json.startswith("iVBORw0KGgo")
    assert (await desk.ended()).usage.output == 1
    events = [event async for event in await client.images.generate(model="echo", prompt="a house", stream=True)]
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    edited = await client.images.edit(model="echo", image=("a.png", b"x" * 100_000), prompt="a house")
    assert edited.data[0].b64_json
    varied = await client.images.create_variation(model="echo", image=("a.png", b"x"))
    assert varied.data[0].b64_json


@old
async def test_speech_and_what_is_heard_in_it(echo: Any) -> None:
    client, _ = echo
    async with client.audio.speech.with_streaming_response.create(model="echo", input="Hello", voice="alloy") as answer:
        assert answer.headers["content-type"] == "audio/wav"
        wav = await answer.read()
    assert (wav[:4], wav[8:12]) == (b"RIFF", b"WAVE")
    heard = await client.audio.transcriptions.create(model="echo", file=("a.wav", wav))
    assert heard.text.startswith("a form of")
    text = await client.audio.transcriptions.create(model="echo", file=("a.wav", wav), response_format="text")
    assert text.startswith("a form of")
    stream = await client.audio.transcriptions.create(model="echo", file=("a.wav", wav), stream=True)
    types = [event.type async for event in stream]
    assert (types[0], types[-1]) == ("transcript.text.delta", "transcript.text.done")
    translated = await client.audio.translations.create(model="echo", file=("a.wav", wav * 100))
    assert translated.text.startswith("a form of")


async def test_failures_are_the_sdks_own(open_desk: Any) -> None:
    desk = await open_desk(Speaker("openai"), deny=["secret"])
    async with client_of(desk) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.embeddings.create(model="secret", input="x")
        with pytest.raises(openai.NotFoundError) as caught:
            await client.post("/rerank", body={"model": "m"}, cast_to=object)
        assert caught.value.code == "endpoint_not_supported"
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve("file-abc")


async def test_files_and_batches(open_desk: Any) -> None:
    def keep(request: Recorded) -> Answer:
        match request.method, request.path:
            case "POST", "/v1/files":
                assert b'{"custom_id": 1}' in request.body
                return Answer.json(file)
            case "GET", "/v1/files/file-1":
                return Answer.json(file)
            case "GET", "/v1/files/file-2/content":
                return Answer.http([b"line\n"], headers={"content-type": "application/octet-stream"})
            case "DELETE", "/v1/files/file-1":
                return Answer.json({"id": "file-1", "object": "file", "deleted": True})
        return Answer.json(batch)

    file = {"id": "file-1", "object": "file", "bytes": 1, "created_at": 1, "filename": "a", "purpose": "batch",
            "status": "processed"}  # fmt: skip
    # fmt: off
    batch = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-1",
             "completion_window": "24h", "status": "completed", "created_at": 1, "output_file_id": "file-2"}
    # fmt: on
    desk = await open_desk(Speaker("openai"), keep)
    async with client_of(desk) as client:
        uploaded = await client.files.create(file=("a.jsonl", io.BytesIO(b'{"custom_id": 1}')), purpose="batch")
        assert (await client.files.retrieve(uploaded.id)).id == uploaded.id
        begun = await client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await client.batches.retrieve(begun.id)
        assert (await client.files.content(done.output_file_id)).content == b"line\n"
        assert (await client.batches.cancel(begun.id)).id == begun.id
        assert (await client.files.delete(uploaded.id)).deleted
    assert desk.upstream.requests[2].json["input_file_id"] == "file-1"


async def test_a_reranker_in_coheres_words(open_desk: Any) -> None:
    answer = {
        "id": "r",
        "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }
    desk = await open_desk(Speaker("openai_compatible"), Answer.json(answer))
    async with client_of(desk) as client:
        body = {"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 2}
        said = await client.post("/rerank", body=body, cast_to=object)
    assert said == answer
    assert desk.upstream.requests[0].json == body
    exchange = await desk.ended()
    assert json.loads(bytes(exchange.usage.raw))["billed_units"] == {"search_units": 1}


async def test_gemini_embeds_for_the_openai_sdk_and_for_its_own(open_desk: Any) -> None:
    genai = pytest.importorskip("google.genai")

    desk = await open_desk(Speaker("gemini"), Answer.json({"embeddings": [{"values": [0.5, 1.0]}]}))
    async with client_of(desk) as client:
        said = await client.embeddings.create(model="gemini-embedding-001", input="a", dimensions=2)
    assert said.data[0].embedding == [0.5, 1.0]
    options = genai.types.HttpOptions(base_url=desk.url)
    async with genai.Client(api_key="sk-caller", http_options=options).aio as google:
        own = await google.models.embed_content(model="gemini-embedding-001", contents="a")
    assert own.embeddings[0].values == [0.5, 1.0]
    assert {request.path for request in desk.upstream.requests} == {
        "/v1/models/gemini-embedding-001:batchEmbedContents"
    }
