"""Prefill and decode workers: what each is sent, and which of the two is blamed."""

import asyncio
import json
from typing import Any

import pytest

from asgi_llm import Gateway
from asgi_llm.testing import Answer, ASGIDriver, Wait, chat_error, chat_events, chat_stream, chat_text, no_leaks

HANDOVER = {"remote_engine_id": "e1", "remote_block_ids": [1, 2], "remote_host": "10.0.0.1", "remote_port": 9}
ROLES: dict[str, list[dict[str, Any]]] = {
    "sglang": [{"role": "prefill", "bootstrap_port": 8998}, {"role": "decode"}],
    "vllm": [{"role": "prefill"}, {"role": "decode"}],
}


def prefilled(_request: Any) -> Answer:
    return Answer.json({"id": "p", "choices": [], "kv_transfer_params": HANDOVER})


async def stream(gateway: Gateway) -> tuple[int, bytes]:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
    status = (await exchange.start()).status
    data = await exchange.body()
    await exchange.finished()
    return status, data


def loads(gateway: Gateway) -> list[int]:
    return [worker.load for worker in gateway.runtime().fleet.crews["fleet"].workers]


def troubled(gateway: Gateway) -> list[bool]:
    return [worker.breaker.troubled for worker in gateway.runtime().fleet.crews["fleet"].workers]


async def test_sglang_workers_get_the_same_request_and_a_room(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    gateway = gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"])
    async with no_leaks(), gateway.running():
        for _ in range(2):
            status, value = await chat(gateway, seed=5, bootstrap_host="evil.example")
            assert (status, value["choices"][0]["message"]["content"]) == (200, "from decode")
        assert loads(gateway) == [0, 0]
    rooms = set()
    for first, second in zip(prefill.chats, decode.chats, strict=True):
        assert first.json == second.json
        assert first.body.count(b"bootstrap_host") == 1
        assert (first.json["bootstrap_host"], first.json["bootstrap_port"]) == ("127.0.0.1", 8998)
        assert (first.json["seed"], first.json["model"]) == (5, "m")
        rooms.add(first.json["bootstrap_room"])
    assert len(rooms) == 2
    assert all(0 <= room < 2**63 for room in rooms)


BATCHES: list[tuple[str, dict[str, Any], int | None]] = [
    ("/v1/completions", {"prompt": "one"}, None),
    ("/v1/completions", {"prompt": [17, 4, 2]}, None),
    ("/v1/completions", {"prompt": ["one", "two", "three"]}, 3),
    ("/v1/completions", {"prompt": [[17], [4, 2]]}, 2),
    ("/generate", {"text": ["one"]}, 1),
    ("/generate", {"input_ids": [1, 2, 3]}, None),
    ("/generate", {"input_ids": [[1], [2], [3]]}, 3),
]


@pytest.mark.parametrize(("path", "asked", "number"), BATCHES)
async def test_several_prompts_have_a_room_each(  # type: ignore[no-untyped-def]  # fixtures
    engines, gateway_of, request_of, path: str, asked: dict[str, Any], number: int | None
) -> None:
    prefill, decode = await engines("prefill", "decode")
    async with no_leaks(), gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gate:
        assert (await request_of(gate, "POST", path, {"model": "m", **asked}))[0] == 200
    assert prefill.chats[0].body == decode.chats[0].body
    sent = decode.chats[0].json
    assert {name: sent[name] for name in asked} == asked
    if number is None:
        assert (sent["bootstrap_host"], sent["bootstrap_port"]) == ("127.0.0.1", 8998)
        assert isinstance(sent["bootstrap_room"], int)
    else:
        assert (sent["bootstrap_host"], sent["bootstrap_port"]) == (["127.0.0.1"] * number, [8998] * number)
        assert len(set(sent["bootstrap_room"])) == number


async def test_sglang_ranks_are_named_to_both(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    ranks = [item | {"dp_size": 2} for item in ROLES["sglang"]]
    async with gateway_of([prefill, decode], provider="sglang", workers=ranks).running() as gateway:
        for _ in range(2):
            assert (await chat(gateway))[0] == 200
    for first, second in zip(prefill.chats, decode.chats, strict=True):
        assert first.json["routed_dp_rank"] == second.json["disagg_prefill_dp_rank"]
        assert second.json["routed_dp_rank"] in (0, 1)
        assert "data_parallel_rank" not in first.json
        assert "disagg_prefill_dp_rank" not in first.json
    assert {request.json["routed_dp_rank"] for request in prefill.chats} == {0, 1}


async def test_both_sglang_legs_are_sent_at_once(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    met = asyncio.Event()

    async def wait(_request: Any) -> Answer:
        await met.wait()
        return chat_text("prefilled")

    async def meet(_request: Any) -> Answer:
        met.set()
        return chat_text("decoded")

    prefill.says, decode.says = wait, meet
    async with (
        no_leaks(),
        gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gateway,
    ):
        _, value = await chat(gateway)
        assert value["choices"][0]["message"]["content"] == "decoded"


async def test_vllm_prefills_one_token_and_hands_over(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    prefill.says = prefilled
    async with no_leaks(), gateway_of([prefill, decode], workers=ROLES["vllm"]).running() as gateway:
        asked = {"max_tokens": 50, "min_tokens": 4, "seed": 5}
        status, value = await chat(gateway, **asked)
        assert (status, value["choices"][0]["message"]["content"]) == (200, "from decode")
        decode.says = lambda _request: chat_stream("streamed")
        status, data = await stream(gateway)
        assert status == 200
        assert data.endswith(b"data: [DONE]\n\n")
        assert loads(gateway) == [0, 0]
    first, second = prefill.chats[0], decode.chats[0]
    assert (first.json["stream"], first.json["max_tokens"]) == (False, 1)
    assert (first.json["min_tokens"], first.json["seed"]) == (0, 5)
    assert first.json["kv_transfer_params"]["do_remote_decode"] is True
    assert second.json["kv_transfer_params"] == HANDOVER
    assert (second.json["max_tokens"], second.json["min_tokens"]) == (50, 4)
    names = [dict(request.headers)[b"x-request-id"] for request in (first, second)]
    assert names[0] == names[1]
    # What the gateway asks a stream for is not for a request of one token.
    assert prefill.chats[1].json["stream"] is False
    assert prefill.chats[1].json["stream_options"] is None
    assert decode.chats[1].json["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("provider", ["sglang", "vllm"])
@pytest.mark.parametrize("leg", [0, 1])
@pytest.mark.parametrize(
    "fault", [Answer.reset(), chat_error(500, "broken"), Answer.hang_up()], ids=["reset", "500", "gone"]
)
async def test_only_the_leg_that_failed_is_blamed_and_replaced(engines, gateway_of, chat, provider, leg, fault) -> None:  # type: ignore[no-untyped-def]  # fixtures
    """Two of each; one fails once: the request is served, by another worker in the place of that one."""
    fleet = await engines("p1", "p2", "d1", "d2")
    roles = [ROLES[provider][0], ROLES[provider][0], ROLES[provider][1], ROLES[provider][1]]
    for engine in fleet[:2]:
        engine.says = prefilled
    failed: list[str] = []

    def fail_once(engine: Any, normal: Any) -> Any:
        def says(request: Any) -> Answer:
            if not failed:
                failed.append(engine.name)
                return fault
            return normal(request)

        return says

    for engine in fleet[2 * leg : 2 * leg + 2]:
        engine.says = fail_once(engine, engine.says)
    gateway = gateway_of(fleet, provider=provider, workers=roles, retry={"base": 0.001})
    async with no_leaks(), gateway.running():
        status, value = await chat(gateway)
        assert status == 200, value
        names = [engine.name for engine in fleet]
        assert troubled(gateway) == [name == failed[0] for name in names]
        assert loads(gateway) == [0, 0, 0, 0]
    assert failed[0].startswith("pd"[leg])


async def test_a_hanging_prefill_is_broken_off_when_decode_fails(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    prefill.says = lambda _request: Answer.silence()
    decode.says = lambda _request: Answer.reset()
    gateway = gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"], retry={"attempts": 1})
    async with no_leaks(), gateway.running():
        assert (await chat(gateway))[0] == 502
        assert troubled(gateway) == [False, True]
        assert loads(gateway) == [0, 0]


async def test_the_prefill_worker_is_free_while_the_answer_is_written(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    go = asyncio.Event()
    first, *rest = chat_events("Hello there")
    decode.says = lambda _request: Answer.sse([first, Wait(go), *rest, "[DONE]"])
    async with (
        no_leaks(),
        gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gateway,
    ):
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
        await exchange.start()
        assert loads(gateway) == [0, 1]
        go.set()
        await exchange.body()
        await exchange.finished()
        assert loads(gateway) == [0, 0]


async def test_a_stream_that_dies_is_the_decode_workers_fault(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    first, *_ = chat_events("Hello there")
    decode.says = lambda _request: Answer.sse([first], truncated=True)
    async with (
        no_leaks(),
        gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gateway,
    ):
        await stream(gateway)
        assert troubled(gateway) == [False, True]
        assert loads(gateway) == [0, 0]


async def test_a_caller_that_leaves_is_nobodys_fault(engines, gateway_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    prefill.says = decode.says = lambda _request: Answer.silence()
    async with (
        no_leaks(),
        gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gateway,
    ):
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        exchange = await ASGIDriver(gateway.asgi).request("POST", "/v1/chat/completions", json=body)
        await prefill.wait_request(1)
        await decode.wait_request(1)
        exchange.disconnect()
        await exchange.finished()
        assert troubled(gateway) == [False, False]
        assert loads(gateway) == [0, 0]
        await asyncio.gather(prefill.chats[0].disconnected.wait(), decode.chats[0].disconnected.wait())


async def test_nothing_handed_over_is_the_prefill_workers_fault(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    prefill.says = lambda _request: chat_text("no engine at all")
    async with (
        no_leaks(),
        gateway_of([prefill, decode], workers=ROLES["vllm"], retry={"attempts": 1}).running() as gateway,
    ):
        status, value = await chat(gateway)
        assert (status, value["error"]["code"]) == (502, "upstream_invalid_answer")
        assert troubled(gateway) == [True, False]
        assert not decode.chats


async def test_a_refusal_by_either_is_told_to_the_caller(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    prefill.says = lambda _request: chat_error(400, "that is too much")
    async with no_leaks(), gateway_of([prefill, decode], workers=ROLES["vllm"]).running() as gateway:
        status, value = await chat(gateway)
        assert (status, value["error"]["message"]) == (400, "that is too much")
        assert troubled(gateway) == [False, False]


async def test_without_one_of_the_two_nobody_is_available(engines, gateway_of, chat) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    async with gateway_of([prefill, decode], workers=ROLES["vllm"]).running() as gateway:
        await gateway.fleet.drain(gateway.fleet.workers()[1].id)
        status, value = await chat(gateway)
        assert (status, value["error"]["code"]) == (503, "no_available_workers")
        assert not prefill.chats


async def test_other_dialects_are_translated_to_what_pairs_know(engines, gateway_of, request_of) -> None:  # type: ignore[no-untyped-def]  # fixtures
    prefill, decode = await engines("prefill", "decode")
    async with gateway_of([prefill, decode], provider="sglang", workers=ROLES["sglang"]).running() as gateway:
        body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        status, value, _ = await request_of(gateway, "POST", "/v1/messages", body)
        assert (status, value["content"][0]["text"]) == (200, "from decode")
    assert json.loads(prefill.chats[0].body)["bootstrap_port"] == 8998
