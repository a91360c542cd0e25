"""Whatever a caller sends: an error in its dialect with a stable code, and nothing raised into the host's log."""

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm import Gateway
from asgi_llm.testing import ASGIDriver

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
every_dialect = pytest.mark.parametrize("dialect", list(PATHS))
JSON = ("content-type", "application/json")


def make(**more: Any) -> Gateway:
    return Gateway({"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}, **more})


async def send(
    body: bytes | list[bytes],
    path: str,
    headers: Any = (JSON,),
    *,
    method: str = "POST",
    gateway: Gateway | None = None,
) -> tuple[int, dict[str, str], bytes]:
    gate = gateway or make()
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request(method, path, headers, body)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    return head.status, {name.decode(): value.decode() for name, value in head.headers}, data


def check(dialect: str, data: bytes, headers: dict[str, str], code: str, param: str | None = None) -> None:
    value = json.loads(data)
    assert headers["content-type"] == "application/json"
    assert headers["x-llm-error-code"] == code
    assert headers["x-llm-request-id"]
    if dialect == "messages":
        assert value["type"] == "error"
        assert value["request_id"] == headers["x-llm-request-id"] == headers["request-id"]
        assert value["error"]["message"]
    else:
        assert value["error"]["code"] == code
        assert value["error"]["param"] == param
        assert value["error"]["message"]


TURNS: dict[str, str] = {
    "chat": '"messages":[{"role":"user","content":"hi"}]',
    "messages": '"max_tokens":9,"messages":[{"role":"user","content":"hi"}]',
    "responses": '"input":"hi"',
}
BAD: dict[str, tuple[bytes, str, str | None]] = {
    "no body": (b"", "invalid_json", None),
    "blank body": (b"  \n", "invalid_json", None),
    "not JSON": (b"hello", "invalid_json", None),
    "half of it": (b'{"model":"m","messages":[', "invalid_json", None),
    "more than one value": (b'{"model":"m"} {}', "invalid_json", None),
    "not UTF-8": (b'{"model":"\xff\xfe","messages":[],"input":""}', "invalid_json", None),
    "a list": (b"[]", "invalid_json", None),
    "null": (b"null", "invalid_json", None),
    "a number": (b"1", "invalid_json", None),
    "deep": (b'{"model":' + b"[" * 200_000, "invalid_json", None),
    "NaN": (b'{"model":"m","temperature":NaN}', "invalid_json", None),
    "no model": (b'{"messages":[],"input":"x"}', "model_required", "model"),
    "null model": (b'{"model":null,"messages":[],"input":"x"}', "model_required", "model"),
    "empty model": (b'{"model":"","messages":[],"input":"x"}', "model_required", "model"),
    "blank model": (b'{"model":" \\t","messages":[],"input":"x"}', "model_required", "model"),
    "model is a number": (b'{"model":5,"messages":[],"input":"x"}', "model_required", "model"),
    "model is a list": (b'{"model":["m"],"messages":[],"input":"x"}', "model_required", "model"),
    "two models": (b'{"model":"a","messages":[],"input":"x","model":"b"}', "invalid_request", "model"),
    "stream is a text": (b'{"model":"m","messages":[],"input":"x","stream":"yes"}', "invalid_request", "stream"),
}


@every_dialect
@pytest.mark.parametrize("bad", BAD)
async def test_a_bad_body(dialect: str, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    body, code, param = BAD[bad]
    status, headers, data = await send(body, PATHS[dialect])
    assert status == 400
    check(dialect, data, headers, code, param)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@every_dialect
@pytest.mark.parametrize("turns", ["5", '{"a":1}', "true"])
async def test_a_conversation_of_the_wrong_type(dialect: str, turns: str) -> None:
    name = "input" if dialect == "responses" else "messages"
    status, headers, data = await send(f'{{"model":"m","{name}":{turns}}}'.encode(), PATHS[dialect])
    assert status == 400
    check(dialect, data, headers, "invalid_request", name)


@every_dialect
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_wrong_content_type(dialect: str, content_type: str) -> None:
    status, headers, data = await send(b"{}", PATHS[dialect], [("content-type", content_type)])
    assert status == 415
    check(dialect, data, headers, "unsupported_media_type", "content-type")


@every_dialect
@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.api+json", "APPLICATION/JSON", None]
)
async def test_content_types_that_mean_json(dialect: str, content_type: str | None) -> None:
    headers = [("content-type", content_type)] if content_type else []
    status, _, _ = await send(f'{{"model":"m",{TURNS[dialect]}}}'.encode(), PATHS[dialect], headers)
    assert status == 200


@every_dialect
async def test_an_unknown_content_encoding_is_refused_by_name(dialect: str) -> None:
    status, headers, data = await send(b"xyz", PATHS[dialect], [JSON, ("content-encoding", "lzma")])
    assert status == 415
    check(dialect, data, headers, "unsupported_content_encoding", "content-encoding")


@every_dialect
@pytest.mark.parametrize("declared", ["4097", "9" * 5000])
async def test_a_body_declared_too_large_is_refused_before_it_comes(dialect: str, declared: str) -> None:
    gate = make(limits={"body": 4096})
    async with gate.running():
        headers = [JSON, ("content-length", declared)]
        exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[dialect], headers, hold_body=True)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    assert head.status == 413
    check(dialect, data, {n.decode(): v.decode() for n, v in head.headers}, "request_too_large")


@every_dialect
async def test_a_body_that_grows_too_large_is_refused_when_it_does(dialect: str) -> None:
    gate = make(limits={"body": 4096})
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[dialect], [JSON], hold_body=True)
        for _ in range(3):
            exchange.send_body(b"x" * 2000)
        assert (await exchange.start()).status == 413
        await exchange.finished()


@every_dialect
async def test_a_body_at_the_limit_passes(dialect: str) -> None:
    body = f'{{"model":"m",{TURNS[dialect]}}}'.encode()
    status, _, _ = await send(body, PATHS[dialect], gateway=make(limits={"body": len(body)}))
    assert status == 200


@every_dialect
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_wrong_method(dialect: str, method: str) -> None:
    status, headers, data = await send(b"", PATHS[dialect], [], method=method)
    assert status == 405
    assert headers["allow"] == "POST"
    check(dialect, data, headers, "method_not_allowed")


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/nothing", [], "chat"),
        ("/v1/messages/nothing", [], "messages"),
        ("/v1/responses/nothing", [], "responses"),
        ("/anthropic/v1/nothing", [], "messages"),
        ("/v1/nothing", [("anthropic-version", "2023-06-01")], "messages"),
        ("/v1//chat/completions", [], "chat"),
    ],
)
async def test_an_unknown_path(path: str, headers: Any, dialect: str) -> None:
    status, got, data = await send(b"{}", path, headers)
    assert status == 404
    check(dialect, data, got, "unknown_endpoint")


KEYS = {"auth": {"keys": [{"key": "sk-good", "subject": "ci"}]}}


@every_dialect
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "missing_api_key"),
        ([("authorization", "Bearer sk-bad")], "invalid_api_key"),
        ([("x-api-key", "sk-bad")], "invalid_api_key"),
        ([("authorization", "Basic c2stZ29vZA==")], "missing_api_key"),
        ([("authorization", "Bearer")], "missing_api_key"),
        ([("x-api-key", "sk-bad"), ("authorization", "Bearer sk-good")], "invalid_api_key"),
    ],
)
async def test_a_bad_key(dialect: str, headers: Any, code: str) -> None:
    body = f'{{"model":"m",{TURNS[dialect]}}}'.encode()
    status, got, data = await send(body, PATHS[dialect], [JSON, *headers], gateway=make(**KEYS))
    assert status == 401
    check(dialect, data, got, code)
    assert got["www-authenticate"] == "Bearer"
    assert b"sk-" not in data


@every_dialect
@pytest.mark.parametrize(
    "header", [("authorization", "Bearer sk-good"), ("authorization", "bearer  sk-good"), ("x-api-key", "sk-good")]
)
async def test_a_good_key_in_either_header(dialect: str, header: tuple[str, str]) -> None:
    body = f'{{"model":"m",{TURNS[dialect]}}}'.encode()
    status, _, _ = await send(body, PATHS[dialect], [JSON, header], gateway=make(**KEYS))
    assert status == 200


@every_dialect
async def test_a_model_that_no_route_leads_to(dialect: str) -> None:
    targets = {"a": {"provider": "echo"}, "b": {"provider": "echo"}}
    gate = Gateway({"targets": targets, "routes": [{"model": "x", "target": "a"}], "auth": {"anonymous": True}})
    body = f'{{"model":"m",{TURNS[dialect]}}}'.encode()
    status, headers, data = await send(body, PATHS[dialect], gateway=gate)
    assert status == 400
    check(dialect, data, headers, "no_route", "model")


@every_dialect
async def test_problem_json_for_those_who_accept_it(dialect: str) -> None:
    status, headers, data = await send(b"{}", PATHS[dialect], [JSON, ("accept", "application/problem+json")])
    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    value = json.loads(data)
    assert value["status"] == 400
    assert value["code"] == "model_required"
    assert value["type"].startswith("urn:")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=15,
)
FIELDS = ["model", "messages", "input", "max_tokens", "stream", "tools", "tool_choice", "system", "stop", "temperature"]


@every_dialect
@given(value=st.one_of(json_values, st.dictionaries(st.sampled_from(FIELDS), json_values)))
async def test_any_json_is_an_answer_or_an_error_of_the_callers(dialect: str, value: Any) -> None:
    """The echo decodes every body, so all of the dialect's reading is behind this."""
    status, _, data = await send(json.dumps(value).encode(), PATHS[dialect])
    assert status in (200, 400)
    assert data
