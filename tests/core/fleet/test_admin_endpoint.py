"""The endpoint of administration: who may, and what it does."""

from typing import Any

import pytest

from asgi_llm.testing import chat_error

KEYS = {
    "keys": [
        {"key": "k-admin", "subject": "root", "roles": ["admin"]},
        {"key": "k-user", "subject": "user", "roles": ["staff"]},
    ],
    "anonymous": True,
}
ADMIN = {"authorization": "Bearer k-admin"}


@pytest.fixture
async def desk(engines, gateway_of, request_of):  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    gateway = gateway_of([one], auth=KEYS, admin={"enabled": True, "references": ["env://WORKER_*"]})

    async def ask(method: str, path: str, value: Any = None, headers: Any = None) -> tuple[int, Any, dict[str, str]]:
        answer: tuple[int, Any, dict[str, str]] = await request_of(
            gateway, method, path, value, ADMIN if headers is None else headers
        )
        return answer

    async with gateway.running():
        yield ask, one, two


async def test_who_is_no_admin_is_refused(desk) -> None:  # type: ignore[no-untyped-def]  # fixtures
    ask, _, two = desk
    worker = {"target": "fleet", "url": two.url}
    for headers, status, code in (
        ({}, 403, "admin_required"),
        ({"authorization": "Bearer k-user"}, 403, "admin_required"),
        ({"authorization": "Bearer nobody"}, 401, "invalid_api_key"),
    ):
        for method, path, value in (
            ("GET", "/workers", None),
            ("POST", "/workers", worker),
            ("GET", "/workers/w_1", None),
            ("PATCH", "/workers/w_1", {"state": "draining"}),
            ("DELETE", "/workers/w_1", None),
        ):
            got, body, _ = await ask(method, path, value, headers)
            assert (got, body["error"]["code"]) == (status, code)
    assert len((await ask("GET", "/workers"))[1]["data"]) == 1


async def test_it_is_not_there_unless_it_is_enabled(engines, gateway_of, request_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    (one,) = await engines("one")
    async with gateway_of([one], auth=KEYS).running() as gateway:
        status, body, _ = await request_of(gateway, "GET", "/workers", None, ADMIN)
        assert (status, body["error"]["code"]) == (404, "unknown_endpoint")
        status, body, _ = await request_of(gateway, "GET", "/ready", None, ADMIN)
        assert (status, body) == (200, {"status": "ready"})


async def test_a_workers_life(desk) -> None:  # type: ignore[no-untyped-def]  # fixtures
    ask, one, two = desk
    status, worker, _ = await ask("POST", "/workers", {"target": "fleet", "url": two.url, "headers": {"x-t": "1"}})
    assert status == 201
    assert (worker["target"], worker["url"], worker["state"]) == ("fleet", f"{two.url}/v1", "ready")
    assert worker["settings"]["headers"] == {"x-t": "**********"}
    path = f"/workers/{worker['id']}"
    assert (await ask("GET", path))[1] == worker
    status, value, _ = await ask("GET", "/workers")
    assert [item["url"] for item in value["data"]] == [f"{one.url}/v1", f"{two.url}/v1"]
    assert (await ask("PATCH", path, {"state": "draining"}))[1]["state"] == "draining"
    assert (await ask("GET", "/ready"))[1] == {"status": "ready", "fleet": {"fleet": {"ready": 1, "draining": 1}}}
    assert (await ask("GET", "/ready", None, {}))[1] == {"status": "ready"}
    assert (await ask("PATCH", path, {"state": "active"}))[1]["state"] == "ready"
    assert (await ask("DELETE", path))[0] == 202
    status, value, _ = await ask("GET", path)
    assert (status, value["error"]["code"]) == (404, "worker_not_found")


BAD: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/workers", {}, 400, "invalid_request"),
    ("POST", "/workers", [], 400, "invalid_json"),
    ("POST", "/workers", {"target": "fleet"}, 400, "invalid_worker"),
    ("POST", "/workers", {"target": "fleet", "url": "x"}, 400, "invalid_worker"),
    ("POST", "/workers", {"target": "nobody", "url": "http://x"}, 404, "target_not_found"),
    ("POST", "/workers", {"target": "fleet", "url": "http://x", "colour": 1}, 400, "invalid_worker"),
    ("POST", "/workers", {"target": "fleet", "url": "http://x", "api_key": "env://PATH"}, 400, "invalid_request"),
    (
        "POST",
        "/workers",
        {"target": "fleet", "url": "http://x", "api_key": "file:///etc/passwd"},
        400,
        "invalid_request",
    ),
    ("POST", "/workers", {"target": "fleet", "url": "http://x", "api_key": "env://WORKER_9"}, 400, "invalid_worker"),
    (
        "POST",
        "/workers",
        {"target": "fleet", "url": "http://x", "headers": {"a": "env://HOME"}},
        400,
        "invalid_request",
    ),
    ("POST", "/workers", {"target": "fleet", "url": "http://x", "tls": {"ca": "/etc/passwd"}}, 400, "invalid_request"),
    ("POST", "/workers", {"target": "fleet", "url": "http://x", "headers": {"a": "b\r\nc: d"}}, 400, "invalid_worker"),
    ("PATCH", "/workers/w_1", {"state": "gone"}, 400, "invalid_request"),
    ("PATCH", "/workers/w_1", {"state": "active", "weight": 2}, 400, "invalid_request"),
    ("PATCH", "/workers/w_1", {"state": "active"}, 404, "worker_not_found"),
    ("DELETE", "/workers/w_1", None, 404, "worker_not_found"),
    ("PUT", "/workers", {}, 405, "method_not_allowed"),
    ("POST", "/workers/w_1", {}, 405, "method_not_allowed"),
    ("GET", "/workers/w_1/x", None, 404, "unknown_endpoint"),
]


@pytest.mark.parametrize(("method", "path", "value", "status", "code"), BAD)
async def test_bad_requests_change_nothing(desk, method, path, value, status, code) -> None:  # type: ignore[no-untyped-def]  # fixtures
    ask, _, _ = desk
    got, body, _ = await ask(method, path, value)
    assert (got, body["error"]["code"]) == (status, code), body
    assert "root:" not in str(body)
    assert len((await ask("GET", "/workers"))[1]["data"]) == 1


async def test_a_duplicate_is_a_conflict(desk) -> None:  # type: ignore[no-untyped-def]  # fixtures
    ask, one, _ = desk
    status, body, _ = await ask("POST", "/workers", {"target": "fleet", "url": one.url + "/v1/"})
    assert (status, body["error"]["code"]) == (409, "worker_exists")


async def test_what_is_held_against_whom_is_seen(engines, gateway_of, request_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    one, two = await engines("one", "two")
    one.says = lambda _request: chat_error(429, headers={"retry-after": "30"})
    two.says = lambda _request: chat_error(500)
    own = {"api_keys": ["k1", "k2"], "concurrency": 4, "breaker": {"failures": 1}}
    workers = [{"api_key": "own"}, {}]  # so that the limit is the worker's own, and no key's of the target
    gateway = gateway_of([one, two], auth=KEYS, admin={"enabled": True}, workers=workers, **own)
    async with gateway.running():
        await chat(gateway)
        _, value, _ = await request_of(gateway, "GET", "/workers", None, ADMIN)
    first, second = (item["ranks"][0] for item in value["data"])
    assert (first["breaker"], second["breaker"]) == ("closed", "open")
    assert 25 < first["cooling"]["m"] <= 30
    target = value["targets"]["fleet"]
    assert target["keys"] == [{"number": 0, "out": {}}, {"number": 1, "out": {}}]
    assert [request.header("authorization") for request in (*one.chats, *two.chats)] == ["Bearer own", "Bearer k1"]
    assert (target["retries"], target["inside"], target["waiting"]) == (99, 0, 0)
