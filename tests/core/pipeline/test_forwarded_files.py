"""Files and batches: what an upstream keeps is found again by its id alone, by the tenant whose it is."""

import json
from typing import Any

import pytest

from asgi_llm import Exchange, Gateway
from asgi_llm.routing.pins import Pins
from asgi_llm.testing import Answer, ASGIDriver, Recorded, ScriptedUpstream, chat_text, responses_text

FORM = b'--XX\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
UPLOAD = (
    FORM % (b"purpose", b"", b"batch")
    + FORM % (b"file", b'; filename="a.jsonl"', b'{"custom_id": "1"}')
    + b"--XX--\r\n"
)
TYPE = [("content-type", "multipart/form-data; boundary=XX")]
FILE = {"id": "file-abc", "object": "file", "bytes": 18, "filename": "a.jsonl", "purpose": "batch"}
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "input_file_id": "file-abc",
    "output_file_id": None,
    "status": "validating",
}


def keep(request: Recorded) -> Answer:
    """An upstream that knows one file and one batch."""
    match request.method, request.path:
        case "POST", "/v1/files":
            return Answer.json(FILE)
        case "GET", "/v1/files/file-abc":
            return Answer.json(FILE)
        case "DELETE", "/v1/files/file-abc":
            return Answer.json({"id": "file-abc", "object": "file", "deleted": True})
        case "GET", "/v1/files/file-abc/content":
            return Answer.http([b'{"a": ', b"1}\n"], headers={"content-type": "application/json"})
        case "POST", "/v1/batches":
            assert request.json["input_file_id"] == "file-abc"
            return Answer.json(BATCH)
        case "GET", "/v1/batches/batch_1":
            return Answer.json(BATCH | {"status": "completed", "output_file_id": "file-out"})
        case "POST", "/v1/batches/batch_1/cancel":
            return Answer.json(BATCH | {"status": "cancelling"})
    return Answer.json({"error": {"message": "no such thing", "type": "invalid_request_error"}}, 404)


KEYS = [
    {"key": "key-ann", "subject": "ann", "tenant": "acme"},
    {"key": "key-bob", "subject": "bob", "tenant": "acme"},
    {"key": "key-eve", "subject": "eve", "tenant": "other"},
]


def gateway(upstream: ScriptedUpstream, settled: list[Exchange] | None = None, **more: Any) -> Gateway:
    root = {name: more.pop(name) for name in ("endpoints",) if name in more}
    own = {"provider": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up", **more}
    return Gateway(
        {
            "targets": {"first": {"provider": "anthropic", "api_key": "k"}, "own": own},
            "default_target": "own",
            "routes": [{"model": "claude-*", "target": "first"}],
            "auth": {"keys": KEYS},
            **root,
        },
        on_settled=settled.append if settled is not None else (),
    )


async def ask(
    gate: Gateway, method: str, path: str, body: Any = None, key: str = "key-ann", headers: Any = ()
) -> tuple[int, Any]:
    pairs = [("authorization", f"Bearer {key}"), *headers]
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    if body is not None and not headers:
        pairs.append(("content-type", "application/json"))
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request(method, path, pairs, data)
        head = await exchange.start()
        said = await exchange.body()
        await exchange.finished()
    return head.status, json.loads(said)


async def upload(gate: Gateway) -> str:
    status, said = await ask(gate, "POST", "/v1/files", UPLOAD, headers=TYPE)
    assert status == 200
    assert said == FILE | {"id": said["id"]}
    return str(said["id"])


async def test_a_file_and_a_batch_from_upload_to_answer() -> None:
    settled: list[Exchange] = []
    async with ScriptedUpstream(keep) as upstream:
        gate = gateway(upstream, settled)
        file = await upload(gate)
        assert file.startswith("file-")
        assert "abc" not in file
        assert await ask(gate, "GET", f"/v1/files/{file}") == (200, FILE | {"id": file})
        assert await ask(gate, "GET", f"/files/{file}/content") == (200, {"a": 1})
        status, batch = await ask(gate, "POST", "/v1/batches", {"input_file_id": file, "completion_window": "24h"})
        assert status == 200
        assert (batch["input_file_id"], batch["output_file_id"]) == (file, None)
        assert batch["id"].startswith("batch")
        # A colleague, in another process.
        other = gateway(upstream)
        status, done = await ask(other, "GET", f"/v1/batches/{batch['id']}", key="key-bob")
        assert (status, done["status"]) == (200, "completed")
        assert done["output_file_id"].startswith("file-llm-")
        assert (await ask(gate, "POST", f"/v1/batches/{batch['id']}/cancel"))[1]["status"] == "cancelling"
        status, gone = await ask(gate, "DELETE", f"/v1/files/{file}")
        assert (status, gone) == (200, {"id": file, "object": "file", "deleted": True})
    assert {request.header("authorization") for request in upstream.requests} == {"Bearer sk-up"}
    assert upstream.requests[0].body == UPLOAD
    assert {exchange.outcome for exchange in settled} == {"ok"}


PLACES = [
    ("GET", "/v1/files/{}", None),
    ("DELETE", "/v1/files/{}", None),
    ("GET", "/v1/files/{}/content", None),
    ("GET", "/v1/batches/{}", None),
    ("POST", "/v1/batches/{}/cancel", None),
    ("POST", "/v1/batches", {"input_file_id": "{}"}),
]


@pytest.mark.parametrize(("method", "path", "body"), PLACES)
async def test_what_is_not_the_tenants_own_is_not_there(method: str, path: str, body: Any) -> None:
    async with ScriptedUpstream([Answer.json(FILE)]) as upstream:
        gate = gateway(upstream)
        file = await upload(gate)
        middle = len(file) // 2
        forged = file[:middle] + ("A" if file[middle] != "A" else "B") + file[middle + 1 :]
        for given, key in ((file, "key-eve"), ("file-abc", "key-ann"), (forged, "key-ann"), (file[:-3], "key-ann")):
            sent = None if body is None else {"input_file_id": given}
            status, said = await ask(gate, method, path.format(given), sent, key)
            assert (status, said["error"]["code"]) == (404, "not_found"), given
        assert len(upstream.requests) == 1


async def test_lists_would_show_what_is_others() -> None:
    async with ScriptedUpstream() as upstream:
        gate = gateway(upstream)
        assert (await ask(gate, "GET", "/v1/files"))[0] == 405
        assert (await ask(gate, "GET", "/v1/batches"))[0] == 405


async def test_a_batch_must_not_get_round_the_catalog() -> None:
    async with ScriptedUpstream([Answer.json(FILE)]) as upstream:
        gate = gateway(upstream, allow=["gpt-*"])
        file = await upload(gate)
        status, said = await ask(gate, "POST", "/v1/batches", {"input_file_id": file})
        assert (status, said["error"]["code"]) == (403, "batches_not_permitted")


async def test_nothing_is_kept_twice() -> None:
    """Whether an upload that broke off was kept nobody knows; one that was turned away was not."""
    async with ScriptedUpstream([Answer.reset()]) as upstream:
        assert (await ask(gateway(upstream), "POST", "/v1/files", UPLOAD, headers=TYPE))[0] == 502
    async with ScriptedUpstream([Answer.json({}, 503, {"retry-after": "0"}), Answer.json(FILE)]) as upstream:
        await upload(gateway(upstream))
        assert [request.body for request in upstream.requests] == [UPLOAD, UPLOAD]


async def test_several_keys_are_one_account() -> None:
    async with ScriptedUpstream(keep) as upstream:
        gate = gateway(upstream, api_key=None, api_keys=["sk-one", "sk-two"])
        for _ in range(3):
            file = await upload(gate)
            assert (await ask(gate, "GET", f"/v1/files/{file}"))[0] == 200
    assert {request.header("authorization") for request in upstream.requests} == {"Bearer sk-one"}


async def test_ids_need_a_secret() -> None:
    async with ScriptedUpstream() as upstream:
        status, said = await ask(gateway(upstream, api_key=None), "POST", "/v1/files", UPLOAD, headers=TYPE)
        assert (status, said["error"]["code"]) == (404, "endpoint_not_supported")


async def test_the_route_of_a_model_can_be_asked_for() -> None:
    async with ScriptedUpstream() as upstream:
        status, said = await ask(gateway(upstream), "POST", "/v1/files?model=claude-x", UPLOAD, headers=TYPE)
        assert (status, said["error"]["message"]) == (404, 'the target "first" does not serve /v1/files')


def test_ids_say_whose_they_are_and_nothing_else() -> None:
    pins = Pins({"a": b"key", "b": b"key", "keyless": None})
    given = pins.sign("a", "acme", "file-1")
    assert pins.read(given, "acme") == ("a", "file-1")
    assert pins.read(given, "acme2") is None
    assert Pins({"a": b"other"}).read(given, "acme") is None
    assert Pins({"b": b"key"}).read(given, "acme") is None
    assert not pins.signs("keyless")
    with pytest.raises(KeyError):
        pins.sign("keyless", "acme", "file-1")
    for wrong in ("", "file-llm-", "file-llm-é", "file-llm-" + "A" * 5000, given + "AAAA", given.replace("-llm-", "-")):
        assert pins.read(wrong, "acme") is None


ASKED = [
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "{}"}}]}]},
    ),
    ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "{}"}]}]}),
]


def naming(body: dict[str, Any], file: str, model: str = "gpt-5") -> bytes:
    return json.dumps({"model": model, **body}).replace("{}", file).encode()


@pytest.mark.parametrize(("path", "body"), ASKED)
async def test_a_file_is_named_in_a_conversation_by_its_own_tenant_only(path: str, body: dict[str, Any]) -> None:
    answer = chat_text("Read.") if "chat" in path else responses_text("Read.")
    async with ScriptedUpstream([Answer.json(FILE), answer]) as upstream:
        gate = gateway(upstream, endpoints={"file_ids": True})
        file = await upload(gate)
        json_type = [("content-type", "application/json")]
        status, said = await ask(gate, "POST", path, naming(body, file), "key-eve", json_type)
        assert (status, said["error"]["code"], said["error"]["param"]) == (404, "not_found", "file_id")
        status, said = await ask(gate, "POST", path, naming(body, file, "claude-x"), headers=json_type)
        assert (status, said["error"]["code"]) == (400, "file_elsewhere")
        assert (await ask(gate, "POST", path, naming(body, file), headers=json_type))[0] == 200
    assert len(upstream.requests) == 2
    assert upstream.requests[1].body == naming(body, "file-abc")


async def test_what_only_looks_like_a_file_is_left_alone() -> None:
    said = 'see {"file_id": "file-llm-AAAA"}'
    body = json.dumps({"model": "gpt-5", "messages": [{"role": "user", "content": said}], "file_id": "file-abc"})
    async with ScriptedUpstream([chat_text("Seen.")]) as upstream:
        gate = gateway(upstream, endpoints={"file_ids": True})
        headers = [("content-type", "application/json")]
        assert (await ask(gate, "POST", "/v1/chat/completions", body.encode(), headers=headers))[0] == 200
    assert upstream.requests[0].body == body.encode()
