"""Same dialect and nothing to change: the caller's bytes go upstream as they are, and the answer's bytes come back."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_llm import Exchange, Gateway
from asgi_llm.testing import (
    Answer,
    ASGIDriver,
    Close,
    ScriptedUpstream,
    Tokens,
    chat_events,
    chat_stream,
    chat_text,
    messages_events,
    messages_text,
    responses_events,
    responses_text,
)

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai"}
WHOLE = {"chat": chat_text, "messages": messages_text, "responses": responses_text}
EVENTS: dict[str, Any] = {"chat": chat_events, "messages": messages_events, "responses": responses_events}
every_dialect = pytest.mark.parametrize("dialect", list(PATHS))


def gateway(upstream: ScriptedUpstream, dialect: str, settled: list[Exchange] | None = None, **more: Any) -> Gateway:
    target = {"provider": PROVIDERS[dialect], "base_url": f"{upstream.url}/v1", "api_key": "sk-up", **more}
    sinks = settled.append if settled is not None else ()
    return Gateway({"targets": {"up": target}, "auth": {"anonymous": True}}, on_settled=sinks)


async def send(gate: Gateway, dialect: str, body: bytes, headers: Any = ()) -> tuple[int, dict[str, str], bytes]:
    pairs = [("content-type", "application/json"), *headers]
    async with gate.running():
        exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[dialect], pairs, body)
        head = await exchange.start()
        data = await exchange.body()
        await exchange.finished()
    return head.status, {name.decode(): value.decode() for name, value in head.headers}, data


def wire(answer: Answer) -> bytes:
    """The body of a scripted answer as it is on the wire, without its chunk framing."""
    return b"".join(step for step in answer.steps[1:] if isinstance(step, bytes))


def turns(dialect: str) -> str:
    return '"input":"hi"' if dialect == "responses" else '"messages":[{"role":"user","content":"hi"}]'


STRANGE = {
    "spaces and line ends": ' {{\r\n\t"model" : "m" ,  {turns} ,"max_tokens": 5 }}\n',
    "keys in an odd order": '{{"z":1,{turns},"max_tokens":5,"a":{{"c":1,"b":2}},"model":"m"}}',
    "escapes": r'{{"model":"m",{turns},"max_tokens":5,"x":"\u00e9\/\ud83d\ude00 \" \\ \b"}}',
    "an escaped model": r'{{"mod\u0065l":"\u006d",{turns},"max_tokens":5}}',
    "raw unicode": '{{"model":"m",{turns},"max_tokens":5,"x":"é😀\u2028"}}',
    "big integers": '{{"model":"m",{turns},"max_tokens":5,"x":123456789012345678901234567890,"y":-0,"z":1E400}}',
    "numbers as written": '{{"model":"m",{turns},"max_tokens":5,"x":1.0,"y":1.10,"z":1e2,"w":0.1}}',
    "unknown fields twice": '{{"model":"m",{turns},"max_tokens":5,"x":1,"x":2,"y":{{"q":1,"q":2}}}}',
    "nested models": '{{"metadata":{{"model":"other"}},{turns},"max_tokens":5,"model":"m"}}',
    "the word in a text": '{{"x":"\\"model\\":\\"other\\"",{turns},"max_tokens":5,"model":"m"}}',
}


@pytest.mark.parametrize("caller", list(PATHS))
@pytest.mark.parametrize("upstreams", list(PATHS))
async def test_a_stream_has_one_end_although_the_connection_breaks_behind_it(caller: str, upstreams: str) -> None:
    settled: list[Exchange] = []
    events = [*EVENTS[upstreams](["Hel", "lo"]), *(["[DONE]"] if upstreams == "chat" else ())]
    asked = b'{"model":"m",%b,"max_tokens":5,"stream":true}' % turns(caller).encode()
    async with ScriptedUpstream(Answer.sse(events)) as upstream:
        whole = (await send(gateway(upstream, upstreams, dialects=[upstreams]), caller, asked))[2]
    async with ScriptedUpstream(Answer.sse([*events, Close()])) as upstream:
        told = (await send(gateway(upstream, upstreams, settled, dialects=[upstreams]), caller, asked))[2]
    assert told.count(b"data:") == whole.count(b"data:")
    assert b'"error":{' not in told
    assert settled[0].outcome == "ok"


@every_dialect
async def test_of_an_event_that_breaks_off_nothing_is_told(dialect: str) -> None:
    """Clients would read what is said of the failure as the rest of it."""
    whole = EVENTS[dialect](["Hel", "lo"])
    asked = b'{"model":"m",%b,"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}'
    async with ScriptedUpstream(Answer.sse([*whole[:3], b'data: {"type":"x', Close()])) as upstream:
        told = (await send(gateway(upstream, dialect), dialect, asked % turns(dialect).encode()))[2]
    events = [line[6:] for line in told.split(b"\n") if line.startswith(b"data: ")]
    assert b"upstream_reset" in events[3] or json.loads(events[3])["type"] == "response.failed"
    assert len(events) == 4
    assert all(json.loads(event) for event in events)


@every_dialect
@pytest.mark.parametrize("strange", STRANGE)
async def test_a_strange_body_reaches_the_upstream_byte_for_byte(dialect: str, strange: str) -> None:
    body = STRANGE[strange].format(turns=turns(dialect)).encode()
    async with ScriptedUpstream(WHOLE[dialect]("Hello!")) as upstream:
        status, _, _ = await send(gateway(upstream, dialect), dialect, body)
        assert status == 200
        assert upstream.requests[0].body == body


@every_dialect
@pytest.mark.parametrize("strange", STRANGE)
async def test_under_an_alias_only_the_models_value_changes(dialect: str, strange: str) -> None:
    text = STRANGE[strange].format(turns=turns(dialect))
    body = text.encode()
    async with ScriptedUpstream(WHOLE[dialect]("Hello!")) as upstream:
        gate = gateway(upstream, dialect, models={"m": 're"al'})
        status, _, _ = await send(gate, dialect, body)
        assert status == 200
        sent = upstream.requests[0].body
    value = b'"\\u006d"' if strange == "an escaped model" else b'"m"'
    before, _, after = body.rpartition(value)
    assert sent == before + b'"re\\"al"' + after
    assert json.loads(sent)["model"] == 're"al'


@every_dialect
async def test_a_body_of_a_megabyte_in_many_pieces(dialect: str) -> None:
    filler = json.dumps("x" * 1_000_000 + "é😀")
    body = f'{{"model":"m",{turns(dialect)},"max_tokens":5,"filler":{filler}}}'.encode()
    pieces = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    async with ScriptedUpstream(WHOLE[dialect]("Hello!")) as upstream:
        gate = gateway(upstream, dialect)
        async with gate.running():
            headers = {"content-type": "application/json"}
            exchange = await ASGIDriver(gate.asgi).request("POST", PATHS[dialect], headers, pieces)
            assert (await exchange.start()).status == 200
            await exchange.finished()
        assert upstream.requests[0].body == body


@every_dialect
async def test_the_answer_comes_back_byte_for_byte(dialect: str) -> None:
    odd = b' {"usage" : {"input_tokens":1e0} , "x":"\\u00e9\xc3\xa9", "n":12345678901234567890123,"model":"m"}\n'
    answer = Answer.http([odd], headers={"content-type": "application/json"})
    async with ScriptedUpstream(answer) as upstream:
        status, headers, body = await send(gateway(upstream, dialect), dialect, _plain(dialect))
    assert (status, body) == (200, odd)
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(odd)


def _plain(dialect: str, *, stream: bool = False, more: str = "") -> bytes:
    flag = "true" if stream else "false"
    return f'{{"model":"m",{turns(dialect)},"max_tokens":5,"stream":{flag}{more}}}'.encode()


USAGE = ',"stream_options":{"include_usage":true}'


@every_dialect
@pytest.mark.parametrize("split", [0, 1, 2, 3, 7, 64])
async def test_a_stream_comes_back_byte_for_byte_however_it_is_cut(dialect: str, split: int) -> None:
    """Down to single bytes; and what it used is known all the same."""
    events = EVENTS[dialect](("Hél", "😀 ", "lo"), reasoning="hm", tokens=Tokens(input=9, output=12, cached=4))
    plain, cut = Answer.sse(events, framing="close"), Answer.sse(events, framing="close", split=split)
    settled: list[Exchange] = []
    async with ScriptedUpstream(cut) as upstream:
        body = _plain(dialect, stream=True, more=USAGE if dialect == "chat" else "")
        status, headers, data = await send(gateway(upstream, dialect, settled), dialect, body)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert data == wire(plain)
    (exchange,) = settled
    assert exchange.outcome == "ok"
    assert exchange.usage is not None
    assert (exchange.usage.input, exchange.usage.output, exchange.usage.cache_read) == (9, 12, 4)


@every_dialect
@pytest.mark.parametrize("style", ["crlf", "comments", "one line each", "no final blank line"])
async def test_a_stream_written_in_another_style_passes_as_it_is(dialect: str, style: str) -> None:
    events = EVENTS[dialect](("Hel", "lo"))
    data = wire(Answer.sse(events, framing="close"))
    match style:
        case "crlf":
            data = data.replace(b"\n", b"\r\n")
        case "comments":
            data = b": hello\n\n" + data.replace(b"\n\n", b"\n\n: ping\n\n")
        case "one line each":
            data = data.replace(b"data: ", b"data:")
        case "no final blank line":
            data = data.rstrip(b"\n")
    answer = Answer.http([data], headers={"content-type": "text/event-stream"}, framing="chunked")
    settled: list[Exchange] = []
    async with ScriptedUpstream(answer) as upstream:
        body = _plain(dialect, stream=True, more=USAGE if dialect == "chat" else "")
        _, _, got = await send(gateway(upstream, dialect, settled), dialect, body)
    assert got == data
    assert settled[0].outcome == "ok"
    assert settled[0].usage is not None


@pytest.mark.parametrize("split", [0, 1, 5])
@pytest.mark.parametrize("options", ["", ',"stream_options":{}', ',"stream_options":{"include_usage":false}'])
async def test_usage_is_asked_for_and_hidden_from_a_caller_who_did_not_ask(options: str, split: int) -> None:
    """What the caller gets is what the upstream would have said had nobody asked."""
    asked = chat_stream(("Hel", "lo"), tokens=Tokens(input=9, output=12), split=split)
    unasked = Answer.sse(chat_events(("Hel", "lo"), tokens=None), framing="close")
    settled: list[Exchange] = []
    async with ScriptedUpstream(asked) as upstream:
        body = _plain("chat", stream=True, more=options)
        _, _, data = await send(gateway(upstream, "chat", settled), "chat", body)
        assert upstream.requests[0].json["stream_options"]["include_usage"] is True
        without = upstream.requests[0].json
        del without["stream_options"]
        assert without == {name: value for name, value in json.loads(body).items() if name != "stream_options"}
    assert data == wire(unasked)
    assert settled[0].usage is not None
    assert (settled[0].usage.input, settled[0].usage.output) == (9, 12)


async def test_usage_is_not_asked_for_where_the_upstream_does_not_take_it() -> None:
    async with ScriptedUpstream(chat_stream()) as upstream:
        body = _plain("chat", stream=True)
        await send(gateway(upstream, "chat", stream_usage=False), "chat", body)
        assert upstream.requests[0].body == body


@every_dialect
@pytest.mark.parametrize("stream", [False, True])
async def test_under_an_alias_the_answer_names_the_model_as_the_caller_did(dialect: str, stream: bool) -> None:
    made = {"model": "real-2026-01-01", "tokens": Tokens()}
    answer = Answer.sse(EVENTS[dialect](("Hi",), **made), split=3) if stream else WHOLE[dialect]("Hi", **made)
    async with ScriptedUpstream(answer) as upstream:
        gate = gateway(upstream, dialect, models={"nice": "real"})
        body = _plain(dialect, stream=stream, more=USAGE if stream and dialect == "chat" else "")
        _, _, data = await send(gate, dialect, body.replace(b'"m"', b'"nice"'))
    original = wire(Answer.sse(EVENTS[dialect](("Hi",), **made), framing="close")) if stream else answer.steps[-1]
    assert isinstance(original, bytes)
    assert data == original.replace(b'"model":"real-2026-01-01"', b'"model":"nice"')
    assert b'"nice"' in data


@every_dialect
async def test_headers_cross_by_allow_list_and_credentials_never(dialect: str) -> None:
    answer = WHOLE[dialect]("Hi")
    secret = [("set-cookie", "a=b"), ("server", "internal"), ("x-secret", "1"), ("x-ratelimit-remaining-tokens", "5")]
    answer = Answer.http(
        [answer.steps[-1]],
        headers=[("content-type", "application/json"), ("retry-after", "3"), ("request-id", "r1"), *secret],
    )
    sent = [
        ("authorization", "Bearer sk-caller"),
        ("x-api-key", "sk-caller"),
        ("cookie", "session=1"),
        ("anthropic-beta", "a-1"),
        ("anthropic-beta", "b-2"),
        ("x-forwarded-for", "10.0.0.1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ]
    async with ScriptedUpstream(answer) as upstream:
        _, headers, _ = await send(gateway(upstream, dialect), dialect, _plain(dialect), sent)
        request = upstream.requests[0]
    assert b"sk-caller" not in b"".join(value for _, value in request.headers)
    assert request.header("cookie") is None
    assert request.header("x-forwarded-for") is None
    assert request.header("traceparent")
    assert request.header("anthropic-beta") == ("a-1, b-2" if dialect == "messages" else None)
    credential = request.header("x-api-key") if dialect == "messages" else request.header("authorization")
    assert credential is not None
    assert credential.endswith("sk-up")
    assert not {"set-cookie", "server", "x-secret"} & set(headers)
    assert headers["retry-after"] == "3"
    assert headers["x-llm-request-id"].startswith("req_")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extra=st.dictionaries(st.text().filter(lambda name: name not in ("model", "messages", "stream")), json_values))
async def test_any_body_passes_unchanged(extra: dict[str, Any]) -> None:
    members = list({**extra, "model": "m", "messages": [], "max_tokens": 1}.items())
    random.Random(len(members)).shuffle(members)
    body = json.dumps(dict(members), ensure_ascii=bool(len(members) % 2)).encode()
    async with ScriptedUpstream(messages_text()) as upstream:
        status, _, _ = await send(gateway(upstream, "messages"), "messages", body)
        assert status == 200
        assert upstream.requests[0].body == body
