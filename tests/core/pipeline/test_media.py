"""Media that a request gives by URL, for upstreams that fetch none: fetched by the gateway where it may."""

import base64
import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, ScriptedUpstream, chat_text, gemini_text

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40
PDF = b"%PDF-1.7 " + b"y" * 40
FILES = {
    "/cat.png": (PNG, "image/png"),
    "/plain.png": (PNG, "application/octet-stream"),
    "/page.png": (b"<html>", "text/html"),
    "/doc.pdf": (PDF, "application/pdf"),
    "/note.txt": ("Grüße".encode(), "text/plain; charset=utf-8"),
    "/talk.wav": (b"RIFF0000WAVE", "audio/x-wav"),
}


def site() -> ScriptedUpstream:
    def serve(request: Any) -> Answer:
        data, kind = FILES[request.path]
        return Answer.http([data], headers={"content-type": kind})

    return ScriptedUpstream(serve)


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def ask(upstream: ScriptedUpstream, path: str, body: Any, provider: str, media: Any) -> tuple[int, Any]:
    base = upstream.url if provider == "gemini" else f"{upstream.url}/v1"
    target = {"provider": provider, "base_url": base, "api_key": "k"}
    settings = {"targets": {"up": target}, "auth": {"anonymous": True}}
    gate = Gateway(settings | ({"media": media} if media is not None else {}))
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", path, [], json.dumps(body).encode())
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    return head.status, json.loads(data)


def allowed(files: ScriptedUpstream) -> dict[str, Any]:
    return {"hosts": [f"127.0.0.1:{files.port}"], "schemes": ["http"], "addresses": ["127.0.0.0/8"]}


def chat(*parts: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


async def test_gemini_is_sent_the_content_from_every_dialect() -> None:
    async with site() as files, ScriptedUpstream(lambda _request: gemini_text()) as upstream:
        url = f"{files.url}/cat.png"
        asked = {
            "/v1/chat/completions": chat({"type": "image_url", "image_url": {"url": url}}),
            "/v1/messages": {
                "model": "m",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": url}}]}],
            },
            "/v1/responses": {
                "model": "m",
                "store": False,
                "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}],
            },
        }
        for path, body in asked.items():
            status, answer = await ask(upstream, path, body, "gemini", allowed(files))
            assert status == 200, answer
        for request in upstream.requests:
            (content,) = request.json["contents"]
            assert content["parts"] == [{"inlineData": {"mimeType": "image/png", "data": text_of(PNG)}}]


async def test_results_of_tools_and_documents_are_looked_through() -> None:
    async with site() as files, ScriptedUpstream([chat_text()]) as upstream:
        picture: Any = {"type": "image", "source": {"type": "url", "url": f"{files.url}/plain.png"}}
        note = {"type": "document", "source": {"type": "url", "url": f"{files.url}/note.txt"}}
        pdf = {"type": "document", "title": "D", "source": {"type": "url", "url": f"{files.url}/doc.pdf"}}
        call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [picture, note]}
        turns = [
            {"role": "user", "content": [pdf]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
        body = {"model": "m", "max_tokens": 9, "messages": turns}
        status, answer = await ask(upstream, "/v1/messages", body, "openai", allowed(files))
        assert status == 200, answer
        first, _, *rest = upstream.requests[0].json["messages"]
        url = picture["source"]["url"]
    assert first["content"] == [
        {"type": "file", "file": {"filename": "D", "file_data": f"data:application/pdf;base64,{text_of(PDF)}"}}
    ]
    said = json.dumps(rest, ensure_ascii=False)
    assert "Grüße" in said
    assert url in said, "OpenAI fetches pictures itself"
    assert "note.txt" not in said


async def test_a_server_of_the_caller_s_dialect_is_sent_the_content_too() -> None:
    """Ollama speaks Chat Completions and takes pictures as content only: the caller's bytes cannot stay as they are."""
    async with site() as files, ScriptedUpstream([chat_text(), chat_text()]) as upstream:
        body = chat({"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": f"{files.url}/cat.png"}})
        await ask(upstream, "/v1/chat/completions", body, "ollama", allowed(files))
        await ask(upstream, "/v1/chat/completions", chat({"type": "text", "text": "http"}), "ollama", allowed(files))
        first, second = (request.json["messages"] for request in upstream.requests)
    assert first[0]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{text_of(PNG)}"
    assert second == chat({"type": "text", "text": "http"})["messages"]


async def test_audio_becomes_content() -> None:
    async with site() as files, ScriptedUpstream([chat_text()]) as upstream:
        part = {"fileData": {"fileUri": f"{files.url}/talk.wav", "mimeType": "audio/wav"}}
        body = {"contents": [{"parts": [part]}]}
        status, answer = await ask(upstream, "/v1beta/models/m:generateContent", body, "openai", allowed(files))
        assert status == 200, answer
        (content,) = upstream.requests[0].json["messages"][0]["content"]
    assert content == {"type": "input_audio", "input_audio": {"data": text_of(b"RIFF0000WAVE"), "format": "wav"}}


async def test_an_upstream_that_fetches_for_itself_is_given_the_url() -> None:
    async with site() as files, ScriptedUpstream([chat_text()]) as upstream:
        url = f"{files.url}/cat.png"
        source = {"type": "image", "source": {"type": "url", "url": url}}
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}
        await ask(upstream, "/v1/messages", body, "openai", allowed(files))
        assert not files.requests
        assert upstream.requests[0].json["messages"][0]["content"][0]["image_url"] == {"url": url}


@pytest.mark.parametrize(
    ("name", "part", "code"),
    [
        ("page.png", "image_url", "media_wrong_type"),
        ("doc.pdf", "image_url", "media_wrong_type"),
    ],
)
async def test_what_is_something_else_than_it_should_be_is_refused(name: str, part: str, code: str) -> None:
    async with site() as files, ScriptedUpstream() as upstream:
        body = chat({"type": part, part: {"url": f"{files.url}/{name}"}})
        status, answer = await ask(upstream, "/v1/chat/completions", body, "gemini", allowed(files))
        assert not upstream.requests
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, "messages")


async def test_a_place_that_is_not_allowed_is_refused_in_the_caller_s_dialect() -> None:
    async with site() as files, ScriptedUpstream() as upstream:
        media = {**allowed(files), "addresses": []}
        source = {"type": "image", "source": {"type": "url", "url": f"{files.url}/cat.png?key=secret"}}
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}
        status, answer = await ask(upstream, "/v1/messages", body, "gemini", media)
        assert not files.accepted
        assert not upstream.requests
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert "secret" not in json.dumps(answer)


async def test_nothing_is_fetched_unless_the_settings_say_so() -> None:
    async with site() as files, ScriptedUpstream() as upstream:
        source = {"type": "document", "source": {"type": "url", "url": f"{files.url}/doc.pdf"}}
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [source]}]}
        status, answer = await ask(upstream, "/v1/messages", body, "openai", None)
        assert not files.requests
        assert not upstream.requests
    assert status == 400
    assert "send its content" in answer["error"]["message"]
