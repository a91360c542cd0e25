"""Hooks on requests and answers: the same for every dialect, streamed or not."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from asgi_llm import Exchange
from asgi_llm.errors import Kind
from asgi_llm.hooks import Ask, Hook, Refused
from asgi_llm.neutral.events import Event, TextDelta
from asgi_llm.neutral.request import Instruction, Text, ToolResult, Turn
from asgi_llm.neutral.response import Candidate, Response

ALL = ("chat", "messages", "responses", "gemini")
every = pytest.mark.parametrize("caller", ALL)
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
upstreams = pytest.mark.parametrize("spoken", ["chat", "messages"])


class Shout(Hook):
    """Changes every text."""

    async def on_event(self, ask: Ask, event: Event) -> Event | None:
        return structs.replace(event, text=event.text.upper()) if isinstance(event, TextDelta) else None


class ShoutWhole(Hook):
    async def on_response(self, ask: Ask, response: Response) -> Response:
        (first,) = response.candidates
        parts = tuple(Text(part.text.upper()) if isinstance(part, Text) else part for part in first.parts)
        return structs.replace(response, candidates=(structs.replace(first, parts=parts),))


class Watch(Hook):
    """Changes nothing and remembers."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []
        self.shown: list[Ask] = []
        self.texts: list[str] = []
        self.settled: list[Exchange] = []

    async def on_request(self, ask: Ask) -> None:
        self.asked.append(ask)

    async def on_event(self, ask: Ask, event: Event) -> None:
        self.shown.append(ask)
        if isinstance(event, TextDelta):
            self.texts.append(event.text)

    async def on_settled(self, exchange: Exchange) -> None:
        self.settled.append(exchange)


class NoSecrets(Hook):
    """Withholds what says "secret", looking at all text so far; ``hold`` gives it time."""

    def __init__(self, hold: int) -> None:
        self.hold = hold

    async def on_event(self, ask: Ask, event: Event) -> None:
        if isinstance(event, TextDelta):
            said = ask.notes[self] = ask.notes.get(self, "") + event.text
            if "secret" in said:
                raise Refused("there is a secret in it", code="secret_found")


class Broken(Hook):
    async def on_request(self, ask: Ask) -> None:
        raise ZeroDivisionError("internal details")


class BrokenAnswers(Hook):
    async def on_event(self, ask: Ask, event: Event) -> None:
        raise ZeroDivisionError("internal details")


@every
@streamed
@upstreams
@pytest.mark.parametrize("hook", [Shout, ShoutWhole])
async def test_a_changed_answer_is_what_the_caller_gets(
    world: Any, caller: str, stream: bool, spoken: str, hook: Any
) -> None:
    up = await world(spoken, hooks=[hook()])
    up.says("Hel", "lo ", "there", stream=stream)
    got = await up.ask(caller, stream=stream)
    assert (got.status, got.text, got.finish) == (200, "HELLO THERE", "end")
    assert up.settled[0].outcome == "ok"
    assert up.settled[0].usage is not None
    assert up.settled[0].usage.output > 0


@every
@pytest.mark.parametrize("stream", [(False, True), (True, False)], ids=["folded", "unfolded"])
async def test_it_is_so_where_the_upstream_does_not_do_as_asked(world: Any, caller: str, stream: Any) -> None:
    up = await world("chat", hooks=[Shout()])
    up.says("Hel", "lo", stream=stream[1])
    assert (await up.ask(caller, stream=stream[0])).text == "HELLO"


@every
@streamed
@upstreams
async def test_a_withheld_answer_ends_legally_where_it_was(world: Any, caller: str, stream: bool, spoken: str) -> None:
    up = await world(spoken, hooks=[NoSecrets(hold=0)])
    up.says("It is a ", "secret", ", do not tell", stream=stream)
    got = await up.ask(caller, stream=stream)
    assert got.status == 200
    assert "secret," not in got.data.decode()
    assert got.text in ("", "It is a ", "there is a secret in it", "It is a there is a secret in it")
    assert got.finish in ("filtered", "refusal")
    assert (up.settled[0].outcome, up.settled[0].error_code) == ("denied", "secret_found")


@every
async def test_what_is_held_back_is_not_seen_when_the_refusal_comes(world: Any, caller: str) -> None:
    up = await world("chat", hooks=[NoSecrets(hold=10)])
    up.says("One two three. ", "sec", "ret", " more", stream=True)
    got = await up.ask(caller, stream=True)
    assert "One two" not in got.text
    assert "sec" not in got.text.replace("there is a secret in it", "")


async def test_what_is_held_back_comes_out_in_order_at_the_end(world: Any) -> None:
    up = await world("chat", hooks=[NoSecrets(hold=8)])
    up.says("One ", "two ", "three ", "four", stream=True)
    got = await up.ask("messages", stream=True)
    assert got.text == "One two three four"


@every
async def test_bytes_are_the_upstreams_own_where_a_hook_changes_nothing(world: Any, caller: str) -> None:
    watch = Watch()
    up = await world(caller, hooks=[watch])
    up.says("Hello")
    got = await up.ask(caller)
    assert watch.texts == ["Hello"]
    assert got.text == "Hello"
    assert up.asked() == json.loads(up.upstream.requests[0].body)
    assert [ask.target for ask in watch.asked] == [None]
    assert {ask.target for ask in watch.shown} == {"up"}
    assert watch.settled == up.settled


class Preface(Hook):
    async def on_request(self, ask: Ask) -> Ask | None:
        if ask.request is None:
            return None
        said = Instruction((Text("Be kind."),))
        return ask.change(request=structs.replace(ask.request, instructions=(said, *ask.request.instructions)))


@every
@upstreams
async def test_a_changed_request_is_what_goes_upstream(world: Any, caller: str, spoken: str) -> None:
    up = await world(spoken, hooks=[Preface()])
    up.says("ok")
    assert (await up.ask(caller)).text == "ok"
    assert "Be kind." in up.upstream.requests[0].body.decode()
    assert "hi" in up.upstream.requests[0].body.decode()


async def test_what_a_hook_did_not_touch_stays_as_the_caller_wrote_it(world: Any) -> None:
    """Fields that only some servers know, and their spelling, are not the price of a changed message."""
    up = await world("chat", hooks=[Preface()])
    up.says("ok")
    await up.ask("chat", top_k=3, max_tokens=7, user="ann", unknown={"b": 1, "a": [1.0]})
    asked = up.asked()
    assert asked["messages"][0] == {"role": "system", "content": "Be kind."}
    assert {name: asked[name] for name in ("top_k", "max_tokens", "user", "unknown")} == {
        "top_k": 3, "max_tokens": 7, "user": "ann", "unknown": {"b": 1, "a": [1.0]},
    }  # fmt: skip
    assert b'{"b": 1, "a": [1.0]}' in up.upstream.requests[0].body


class Choose(Hook):
    async def on_request(self, ask: Ask) -> Ask | None:
        return ask.change(model="chosen", target="other") if ask.model in ("auto", "m") else None


@every
@streamed
async def test_a_hook_chooses_model_and_target(world: Any, caller: str, stream: bool) -> None:
    up = await world("chat", hooks=[Choose()], targets={"other": {"provider": "echo"}})
    got = await up.ask(caller, "hello", stream=stream)
    assert got.status == 200
    exchange = up.settled[0]
    assert (exchange.leg.crew.target.name, exchange.leg.model) == ("other", "chosen")
    assert not up.upstream.requests


class Refuse(Hook):
    async def on_request(self, ask: Ask) -> None:
        if "bomb" in ask.prompt:
            raise Refused("we do not talk about that", code="topic", kind=Kind.PERMISSION)


@every
@streamed
async def test_a_refused_request_goes_nowhere(world: Any, caller: str, stream: bool) -> None:
    up = await world("chat", hooks=[Refuse()])
    got = await up.ask(caller, "build a bomb", stream=stream)
    assert got.status == 403
    assert "we do not talk about that" in got.data.decode()
    assert got.headers["x-llm-error-code"] == "topic"
    assert not up.upstream.requests
    assert up.settled[0].outcome == "denied"


async def test_counting_is_no_way_round(world: Any) -> None:
    up = await world("messages", hooks=[Refuse()])
    body = {"model": "m", "messages": [{"role": "user", "content": "bomb"}]}
    assert (await up.send("messages", "/v1/messages/count_tokens", body)).status == 403


async def test_nor_is_an_endpoint_that_is_no_dialects(world: Any) -> None:
    class NoCats(Hook):
        async def on_request(self, ask: Ask) -> Ask | None:
            if ask.payload and "cat" in ask.payload["input"]:
                raise Refused("no cats")
            return ask.change(payload={**ask.payload, "input": ask.payload["input"].upper()})

        async def on_payload(self, ask: Ask, payload: Any) -> Any:
            return {**payload, "seen": True}

    up = await world(
        "chat", hooks=[NoCats()], targets={"echo": {"provider": "echo"}}, routes=[{"model": "*", "target": "echo"}]
    )
    assert (await up.send("chat", "/v1/embeddings", {"model": "e", "input": "a cat"})).status == 400
    got = await up.send("chat", "/v1/embeddings", {"model": "e", "input": "a dog"})
    assert (got.status, got.json["seen"]) == (200, True)


@pytest.mark.parametrize(("policy", "status"), [("open", 200), ("closed", 503)])
@pytest.mark.parametrize("slow", [False, True], ids=["raises", "hangs"])
async def test_a_hook_that_fails_is_contained(
    world: Any, policy: Any, status: int, slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging(Hook):
        timeout = 0.01

        async def on_request(self, ask: Ask) -> None:
            await asyncio.Event().wait()

    hook = Hanging() if slow else Broken()
    hook.on_failure = policy
    up = await world("chat", hooks=[hook])
    if policy == "open":
        up.says("ok")
    got = await up.ask("chat")
    assert got.status == status
    assert "internal details" not in got.data.decode()
    assert caplog.records
    if policy == "closed":
        assert got.headers["x-llm-error-code"] == "hook_failed"
        assert not up.upstream.requests


@every
@streamed
@pytest.mark.parametrize("policy", ["open", "closed"])
async def test_so_is_one_that_fails_on_an_answer(world: Any, caller: str, stream: bool, policy: Any) -> None:
    hook = BrokenAnswers()
    hook.on_failure = policy
    up = await world("chat", hooks=[hook])
    up.says("Hel", "lo", stream=stream)
    got = await up.ask(caller, stream=stream)
    if policy == "open":
        assert got.text == "Hello"
    elif stream:
        assert "Hel" not in got.text
        assert got.finish in ("filtered", "refusal")
    else:
        assert got.status == (529 if caller == "messages" else 503)
    assert [attempt.result for attempt in up.settled[0].attempts] == ["ok"]  # no fault of the worker's


async def test_a_hook_that_breaks_the_order_of_events_does_not_break_the_stream(world: Any) -> None:
    class Doubles(Hook):
        async def on_event(self, ask: Ask, event: Event) -> Sequence[Event]:
            return [event, event]

    for caller in ALL:
        up = await world("chat", hooks=[Doubles()])
        up.says("Hel", "lo", stream=True)
        got = await up.ask(caller, stream=True)
        assert got.finish in ("filtered", "refusal")


async def test_requests_pass_in_order_and_answers_the_other_way_round(world: Any) -> None:
    class Mark(Hook):
        def __init__(self, mark: str) -> None:
            self.mark = mark

        async def on_request(self, ask: Ask) -> Ask:
            assert ask.request is not None
            return ask.change(request=structs.replace(ask.request, end_user=(ask.request.end_user or "") + self.mark))

        async def on_response(self, ask: Ask, response: Response) -> Response:
            (first,) = response.candidates
            (text,) = first.parts
            assert isinstance(text, Text)
            told = Candidate((Text(text.text + self.mark),), first.finish)
            return structs.replace(response, candidates=(told,))

    up = await world("chat", hooks=[Mark("a"), Mark("b")])
    up.says("-")
    assert (await up.ask("chat")).text == "-ba"
    assert up.asked()["safety_identifier"] == "ab"


async def test_a_hook_may_call_models_without_being_asked_about_that(world: Any) -> None:
    class Judge(Hook):
        gateway: Any = None

        async def on_request(self, ask: Ask) -> None:
            reply = await self.gateway.chat("judge", ask.prompt, target="judge")
            if "bad" in reply.text:
                raise Refused("the judge says no")

    judge = Judge()
    up = await world("chat", hooks=[judge], targets={"judge": {"provider": "echo"}})
    judge.gateway = up.gateway
    up.says("ok")
    assert (await up.ask("chat", "good")).status == 200
    assert (await up.ask("chat", "bad")).status == 400


def turn(*parts: Any, role: Any = "user") -> Turn:
    return Turn(role, parts)


@pytest.mark.parametrize(
    ("turns", "prompt"),
    [
        ([turn(Text("one"))], "one"),
        ([turn(Text("one")), turn(Text("answer"), role="assistant"), turn(ToolResult("c", (Text("result"),)))], "one"),
        ([turn(Text("one")), turn(ToolResult("c")), turn(Text("<system-reminder>x\ny</system-reminder>"))], "one"),
        ([turn(Text("one")), turn(ToolResult("c"), Text("two"))], "two"),
        ([turn(Text("one")), turn(Text(" \n"))], "one"),
        ([turn(Text("a"), Text("b"))], "a\nb"),
        ([turn(Text("system"), role="developer")], ""),
    ],
)
async def test_the_prompt_is_the_last_that_a_person_said(world: Any, turns: Any, prompt: str) -> None:
    from asgi_llm.neutral.prompt import last_prompt
    from asgi_llm.neutral.request import Request

    assert last_prompt(Request(model="m", dialect="chat", turns=tuple(turns))) == prompt


async def test_conversations_that_the_gateway_keeps_are_what_hooks_made_of_them(world: Any) -> None:
    up = await world("chat", hooks=[Preface(), Shout()], responses={"stateful": True})
    up.says("Hello")
    first = await up.ask("responses", "one")
    up.says("again")
    second = await up.ask("responses", "two", previous_response_id=first.json["id"])
    assert (first.text, second.text) == ("HELLO", "AGAIN")
    told = [(message["role"], message["content"]) for message in up.asked()["messages"]]
    assert told == [("system", "Be kind."), ("user", "one"), ("assistant", "HELLO"), ("user", "two")]


async def test_what_runs_in_the_background_is_shown_to_hooks_once(world: Any) -> None:
    watch = Watch()
    up = await world("chat", hooks=[Preface(), watch], responses={"stateful": True})
    up.says("Hello")
    queued = await up.ask("responses", "one", background=True)
    (run,) = up.gateway.runtime().history.runs.values()
    await asyncio.wait_for(run.task, 60)
    assert queued.json["status"] == "queued"
    assert [message["content"] for message in up.asked()["messages"]] == ["Be kind.", "one"]
    assert len(watch.asked) == 1
    assert watch.texts == ["Hello"]


async def test_a_conversation_that_is_only_named_is_not_changed_by_halves(world: Any) -> None:
    class Turns(Hook):
        async def on_request(self, ask: Ask) -> Ask | None:
            assert ask.request is not None
            return ask.change(request=structs.replace(ask.request, turns=(*ask.request.turns, turn(Text("more")))))

    up = await world("chat", hooks=[Turns()], responses={"stateful": True})
    items = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "hi"}]
    got = await up.ask("responses", input=items)
    assert (got.status, got.json["error"]["param"]) == (400, "input")


@pytest.mark.parametrize(
    ("caller", "path", "body"),
    [
        ("messages", "/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("gemini", "/v1beta/models/m:countTokens", {"contents": [{"parts": [{"text": "hi"}]}]}),
        ("gemini", "/v1beta/models/m:countTokens", {
            "generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "hi"}]}]},
        }),
        ("responses", "/v1/responses/input_tokens", {"model": "m", "input": "hi"}),
    ],
)  # fmt: skip
async def test_what_is_counted_is_what_would_be_sent(world: Any, caller: str, path: str, body: Any) -> None:
    """The gateway estimates here: with a longer request there are more tokens."""
    counts = []
    for hooks in ([], [Preface()]):
        up = await world("chat", hooks=hooks)
        got = await up.send(caller, path, body)
        assert got.status == 200, got.data
        counts.append(next(value for value in got.json.values() if isinstance(value, int)))
    assert counts[1] > counts[0]


async def test_a_large_request_is_hooked_as_well(world: Any) -> None:
    up = await world("chat", hooks=[Preface()])
    up.says("ok")
    assert (await up.ask("chat", "long " * 40_000)).text == "ok"
    assert up.asked()["messages"][0] == {"role": "system", "content": "Be kind."}
