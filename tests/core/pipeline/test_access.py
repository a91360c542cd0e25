"""Who may use what, over real sockets: rules on every leg, caps in the field of each dialect, keys of one's own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_llm import ConfigError, Exchange, Gateway, Identity, Settings
from asgi_llm.pipeline.enforce import pseudonym
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    ScriptedUpstream,
    chat_completion,
    chat_error,
    chat_events,
    chat_text,
    gemini_text,
    messages_error,
    messages_text,
    responses_text,
)

PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/m:generateContent",
}
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
WHOLE: dict[str, Any] = {
    "chat": chat_text,
    "messages": messages_text,
    "responses": responses_text,
    "gemini": gemini_text,
}
ADMIN, USER = Identity(subject="root", roles=("admin",)), Identity(subject="ann", roles=("user",))


class World:
    def __init__(self, gateway: Gateway, upstream: ScriptedUpstream, settled: list[Exchange]) -> None:
        self.gateway, self.upstream, self.settled = gateway, upstream, settled
        self.driver = ASGIDriver(gateway.asgi)

    async def ask(self, dialect: str = "chat", identity: Identity = USER, **more: Any) -> tuple[Any, Any]:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        if dialect == "messages":
            body["max_tokens"] = 5
        elif dialect == "responses":
            body = {"model": "m", "input": "hi"}
        elif dialect == "gemini":
            body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
        return await self.send("POST", PATHS[dialect], identity, {**body, **more})

    async def send(self, method: str, path: str, identity: Identity, body: Any = None) -> tuple[Any, Any]:
        exchange = await self.driver.request(method, path, json=body, scope={"asgi_llm.identity": identity})
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
        return head, json.loads(data)


@asynccontextmanager
async def world(access: Any, script: Any, dialect: str = "chat", **more: Any) -> AsyncIterator[World]:
    async with ScriptedUpstream(script) as upstream:
        base = f"{upstream.url}/v1beta" if dialect == "gemini" else f"{upstream.url}/v1"
        target = {"provider": PROVIDERS[dialect], "base_url": base, "api_key": "sk-gateway", **more}
        settled: list[Exchange] = []
        gateway = Gateway({"targets": {"up": target}, "access": access}, on_settled=settled.append)
        async with gateway.running():
            yield World(gateway, upstream, settled)


RULES: list[tuple[dict[str, Any], str, dict[str, Any], bool]] = [
    ({"endpoints": ["responses"], "roles": ["admin"]}, "responses", {}, False),
    ({"endpoints": ["responses"], "roles": ["admin"]}, "chat", {}, True),
    ({"endpoints": ["responses"], "roles": ["admin", "user"]}, "responses", {}, True),
    ({"dialects": ["messages"], "not_roles": ["user"]}, "messages", {}, False),
    ({"models": ["gpt-*", "!gpt-*-mini"], "roles": ["admin"]}, "chat", {"model": "gpt-5"}, False),
    ({"models": ["gpt-*", "!gpt-*-mini"], "roles": ["admin"]}, "chat", {"model": "gpt-5-mini"}, True),
    ({"models": ["!cheap"], "roles": ["admin"]}, "chat", {"model": "m"}, False),
    ({"models": ["real"], "roles": ["admin"]}, "chat", {"model": "alias"}, False),
    ({"targets": ["up"], "roles": ["admin"]}, "chat", {}, False),
    ({"features": ["stream"], "roles": ["admin"]}, "chat", {"stream": True}, False),
    ({"features": ["stream"], "roles": ["admin"]}, "chat", {}, True),
    (
        {"features": ["tools"], "roles": ["admin"]},
        "chat",
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        False,
    ),
    (
        {"features": ["images"], "roles": ["admin"]},
        "chat",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]},
        False,
    ),
    ({"features": ["images", "audio"], "roles": ["admin"]}, "chat", {}, True),
    ({"endpoints": ["chat_completions"], "models": ["other"], "roles": ["admin"]}, "chat", {}, True),
]


@pytest.mark.parametrize(("rule", "dialect", "more", "allowed"), RULES)
async def test_a_rule(rule: dict[str, Any], dialect: str, more: dict[str, Any], allowed: bool) -> None:
    spoken = "messages" if dialect == "messages" else "chat" if dialect == "chat" else "responses"
    whole = WHOLE[spoken]("Hello!")
    async with world({"rules": [rule]}, lambda _: whole, spoken, models={"alias": "real"}) as here:
        head, body = await here.ask(dialect, **more)
        assert head.status == (200 if allowed else 403)
        if not allowed:
            assert head.header("x-llm-error-code") == "not_permitted"
            assert here.upstream.requests == []
            assert here.settled[-1].outcome == "denied"
            assert "error" in body
        if not more.get("stream"):
            assert (await here.ask(dialect, identity=ADMIN, **more))[0].status == 200


async def test_a_fallback_is_checked_as_well() -> None:
    async with (
        ScriptedUpstream(chat_error(500, "no")) as first,
        ScriptedUpstream(chat_text("second")) as second,
    ):
        gateway = Gateway(
            {
                "targets": {
                    name: {"provider": "openai", "base_url": f"{up.url}/v1", "api_key": "k", "retry": {"attempts": 1}}
                    for name, up in (("first", first), ("second", second))
                },
                "routes": [{"model": "*", "target": "first", "fallback": ["second"]}],
                "access": {"rules": [{"targets": ["second"], "roles": ["admin"]}]},
            }
        )
        async with gateway.running():
            here = World(gateway, first, [])
            assert (await here.ask())[0].status == 500
            assert second.requests == []
            assert (await here.ask(identity=ADMIN))[0].status == 200


async def test_the_list_of_models_is_each_callers_own() -> None:
    access = {"rules": [{"models": ["gpt-5"], "roles": ["admin"]}, {"models": ["real"], "roles": ["admin"]}]}
    async with world(
        access, chat_error(404, "no list"), allow=["gpt-*", "gpt-5", "gpt-4", "real"], models={"alias": "real"}
    ) as here:

        async def listed(identity: Identity) -> list[str]:
            _, body = await here.send("GET", "/v1/models", identity)
            return [item["id"] for item in body["data"]]

        assert await listed(ADMIN) == ["alias", "gpt-5", "gpt-4", "real"]
        assert await listed(USER) == ["gpt-4"]
        assert (await here.send("GET", "/v1/models/gpt-5", USER))[0].status == 404
        assert (await here.send("GET", "/v1/models/gpt-5", ADMIN))[0].status == 200


async def test_the_list_itself_can_be_for_some_only() -> None:
    async with world({"rules": [{"endpoints": ["models"], "roles": ["admin"]}]}, chat_error(404, "no list")) as here:
        assert (await here.send("GET", "/v1/models", USER))[0].status == 403
        assert (await here.send("GET", "/v1/models", ADMIN))[0].status == 200


CAPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("chat", {"max_tokens": 500}, {"max_tokens": 100}),
    ("chat", {"max_completion_tokens": 50}, {"max_completion_tokens": 50}),
    ("chat", {}, {"max_completion_tokens": 100}),
    ("messages", {"max_tokens": 500}, {"max_tokens": 100}),
    ("responses", {"max_output_tokens": 500}, {"max_output_tokens": 100}),
    ("gemini", {"generationConfig": {"maxOutputTokens": 500}}, {"generationConfig": {"maxOutputTokens": 100}}),
    ("gemini", {}, {"generationConfig": {"maxOutputTokens": 100}}),
]


@pytest.mark.parametrize(("dialect", "said", "sent"), CAPS)
async def test_an_answer_is_capped_where_its_dialect_says_it(
    dialect: str, said: dict[str, Any], sent: dict[str, Any]
) -> None:
    access = {"caps": [{"max_output": 100, "roles": ["user"]}, {"max_output": 1000}]}
    async with world(access, lambda _: WHOLE[dialect]("Hello!"), dialect) as here:
        head, _ = await here.ask(dialect, **said)
        assert head.status == 200
        told = here.upstream.requests[0].json
        assert {name: told[name] for name in sent} == sent
        lowered = bool(said) and said != sent
        assert (head.header("x-llm-warnings") == "max_output;clamp") == lowered
        if said:
            await here.ask(dialect, identity=ADMIN, **said)
            untouched = here.upstream.requests[1].json
            assert {name: untouched[name] for name in said} == said


@pytest.mark.parametrize("said", [500, 50, None])
async def test_a_cap_holds_in_translation(said: int | None) -> None:
    access = {"caps": [{"max_output": 100, "targets": ["up"], "models": ["m"]}]}
    async with world(access, messages_text("Hello!"), "messages") as here:
        await here.ask("chat", **({} if said is None else {"max_tokens": said}))
        assert here.upstream.requests[0].json["max_tokens"] == min(said or 100, 100)
    async with world(access, chat_text("Hello!"), "chat", dialects=["chat"]) as here:
        await here.ask("messages", max_tokens=said or 500)
        assert here.upstream.requests[0].json["max_completion_tokens"] == min(said or 100, 100)


USERS: list[tuple[str, dict[str, Any], int, dict[str, Any]]] = [
    ("pass", {"user": "bob"}, 200, {"user": "bob"}),
    ("remove", {"user": "bob", "metadata": {"user_id": "bob", "x": "y"}}, 200, {"metadata": {"x": "y"}}),
    ("overwrite", {"user": "bob"}, 200, {"user": pseudonym(USER)}),
    ("overwrite", {}, 200, {}),
    ("refuse", {"user": "bob"}, 403, {}),
    ("refuse", {"user": "ann"}, 200, {"user": "ann"}),
    ("refuse", {"metadata": {"user_id": "bob"}}, 403, {}),
    ("refuse", {}, 200, {}),
]


@pytest.mark.parametrize(("policy", "said", "status", "sent"), USERS)
async def test_nobody_is_named_but_who_calls(
    policy: str, said: dict[str, Any], status: int, sent: dict[str, Any]
) -> None:
    async with world({"users": policy}, chat_text("Hello!")) as here:
        head, body = await here.ask(**said)
        assert head.status == status
        if status == 403:
            assert body["error"]["code"] == "user_mismatch"
            assert body["error"]["param"] in ("user", "metadata.user_id")
        else:
            told = here.upstream.requests[0].json
            assert {name: told[name] for name in told if name not in ("model", "messages")} == sent


def test_a_pseudonym_names_nobody_and_tells_callers_apart() -> None:
    names = {pseudonym(Identity(subject=subject, tenant=tenant)) for subject in ("a", "b") for tenant in ("x", "y")}
    assert len(names) == 4
    assert pseudonym(USER) == pseudonym(Identity(subject="ann", roles=("other",)))
    assert all(len(name) <= 64 and "ann" not in name for name in names)


async def test_a_key_of_ones_own_goes_upstream_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    own = Identity(subject="ann", upstream_keys={"up": "sk-ann-own"})
    async with world({}, lambda _: chat_text("Hello!")) as here:
        await here.ask(identity=own)
        await here.ask(identity=USER)
        await here.ask(identity=Identity(subject="bob", upstream_keys={"other": "sk-bob"}))
        shown = [dict(request.headers)[b"authorization"] for request in here.upstream.requests]
        assert shown == [b"Bearer sk-ann-own", b"Bearer sk-gateway", b"Bearer sk-gateway"]
        assert "sk-ann-own" not in repr(own) + caplog.text


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize(("status", "code"), [(401, "upstream_authentication"), (402, "upstream_billing")])
async def test_what_is_about_the_gateways_account_is_nobody_elses_business(
    dialect: str, status: int, code: str
) -> None:
    error = (chat_error if dialect == "chat" else messages_error)(status, "your secret account is empty")
    async with world({}, lambda _: error, dialect, retry={"attempts": 1}) as here:
        head, body = await here.ask(dialect)
        assert head.status == (503 if dialect == "chat" else 529)
        assert head.header("x-llm-error-code") == code
        assert "secret" not in json.dumps(body)
        own = Identity(subject="ann", upstream_keys={"up": "sk-own"})
        head, body = await here.ask(dialect, identity=own)
        if status == 402:
            assert head.status == 402
            assert "secret" in json.dumps(body)
        else:
            assert head.header("x-llm-error-code") == "upstream_authentication"


def test_mistakes_are_told_with_their_path() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(
            {
                "targets": {"echo": {"provider": "echo"}},
                "access": {
                    "rules": [{"models": ["x"]}, {"features": ["flying"], "roles": ["a"]}],
                    "caps": [{"max_output": 0}],
                },
            }
        )
    assert [problem.path for problem in caught.value.problems] == [
        "access.rules[0]",
        "access.rules[1].features[0]",
        "access.caps[0].max_output",
    ]


PAID = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.5, "is_byok": False}


@pytest.mark.parametrize("caller", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_it_costs_is_kept_from_callers_and_known_to_the_gateway(caller: str, stream: bool) -> None:
    """In JSON and in streamed usage, as it is and translated; also where the answer is under an alias."""
    whole = chat_completion("Hello!") | {"usage": PAID}
    *chunks, end = chat_events(["Hel", "lo"], tokens=None)
    chunks += [{"id": "x", "choices": [], "usage": PAID}, end]
    answer = Answer.sse(chunks) if stream else Answer.json(whole)
    more = {"stream_options": {"include_usage": True}} if stream and caller == "chat" else {}
    for model in ("m", "alias"):
        async with world({}, answer, hide_cost=True, dialects=["chat"], models={"alias": "m"}) as here:
            exchange = await here.driver.request(
                "POST",
                PATHS[caller],
                json={
                    "model": model,
                    "max_tokens": 5,
                    "stream": stream,
                    "messages": [{"role": "user", "content": "hi"}],
                    **more,
                },
                scope={"asgi_llm.identity": USER},
            )
            assert (await exchange.start()).status == 200
            body = await exchange.body()
            await exchange.finished()
            assert b"cost" not in body
            assert b"byok" not in body
            usage = here.settled[0].usage
            assert usage is not None
            assert usage.cost == 500_000
