"""For every pair of dialects: a conversation that goes on is sent with the same beginning, to the byte, because prompt
caches and signed thoughts are bound to it; and a streamed answer is the answer that would have come in one piece."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_llm.dialects.gemini import GEMINI
from asgi_llm.dialects.interface import Answer, Dialect, Profile, Restore
from asgi_llm.dialects.registry import DIALECTS as REGISTERED
from asgi_llm.errors import ClientError
from asgi_llm.neutral.fold import fold
from asgi_llm.neutral.request import DialectName, Reasoning, Text, ToolCall, ToolResult
from asgi_llm.neutral.response import Response

CASES = Path(__file__).parent / "cases"
DIALECTS: dict[DialectName, Dialect] = {**REGISTERED, "gemini": GEMINI}
NAMES: tuple[DialectName, ...] = ("chat", "messages", "responses", "gemini")
PROVIDERS = {"chat": "openai", "messages": "anthropic", "responses": "openai", "gemini": "gemini"}
MODELS = {"gemini": "gemini-3-pro-preview"}  # it wants a signature on calls
pairs = pytest.mark.parametrize(
    ("caller", "upstream"), [(caller, upstream) for caller in NAMES for upstream in NAMES if caller != upstream]
)

# A round of a conversation, in no dialect's words: what the user says, what the assistant thinks, says and calls.
texts = st.text(min_size=1, max_size=12).filter(str.strip)
rounds = st.fixed_dictionaries(
    {
        "user": texts,
        "reminder": st.none() | texts,
        "thought": st.none() | texts,
        "said": texts,
        "calls": st.lists(st.tuples(st.sampled_from(["add", "mcp__" + "x" * 80, "a.b"]), texts), max_size=3),
        "shuffled": st.booleans(),
        "id": st.sampled_from(["call", "y" * 90, "functions.add:0", "same"]),
    }
)
conversations = st.lists(rounds, min_size=1, max_size=4)


def _calls(number: int, said: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Id, name, arguments and result of each call of a round. One kind of id comes again in every round."""
    stem = said["id"] if said["id"] == "same" else f"{said['id']}-{number}"
    return [
        (f"{stem}-{index}", name, json.dumps({"x": text}), f"did {text}")
        for index, (name, text) in enumerate(said["calls"])
    ]


def chat_messages(conversation: list[dict[str, Any]], question: list[str]) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": "Be kind."}]
    for number, said in enumerate(conversation):
        messages.append({"role": "user", "content": said["user"]})
        if said["reminder"]:
            messages.append({"role": "system", "content": said["reminder"]})
        calls = _calls(number, said)
        answer: dict[str, Any] = {"role": "assistant", "content": said["said"]}
        if said["thought"]:
            answer["reasoning_content"] = said["thought"]
        if calls:
            answer["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for call_id, name, arguments, _ in calls
            ]
        results = [{"role": "tool", "tool_call_id": call_id, "content": result} for call_id, _, _, result in calls]
        messages += [answer, *(reversed(results) if said["shuffled"] else results)]
    messages += [{"role": "user", "content": text} for text in question]
    return {"model": "m", "messages": messages}


def messages_messages(conversation: list[dict[str, Any]], question: list[str]) -> dict[str, Any]:
    messages: list[Any] = []
    results: list[Any] = []
    for number, said in enumerate(conversation):
        reminder = [{"role": "system", "content": said["reminder"]}] if said["reminder"] else []
        messages += [{"role": "user", "content": [*results, {"type": "text", "text": said["user"]}]}, *reminder]
        calls = _calls(number, said)
        thought = {"type": "thinking", "thinking": said["thought"], "signature": "c2ln"}
        blocks: list[Any] = [thought] if said["thought"] else []
        blocks.append({"type": "text", "text": said["said"]})
        blocks += [
            {"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}
            for call_id, name, arguments, _ in calls
        ]
        messages.append({"role": "assistant", "content": blocks})
        results = [{"type": "tool_result", "tool_use_id": one[0], "content": one[3]} for one in calls]
        if said["shuffled"]:
            results.reverse()
    messages.append({"role": "user", "content": [*results, *({"type": "text", "text": text} for text in question)]})
    return {"model": "m", "max_tokens": 100, "system": "Be kind.", "messages": messages}


def responses_items(conversation: list[dict[str, Any]], question: list[str]) -> dict[str, Any]:
    items: list[Any] = []
    for number, said in enumerate(conversation):
        items.append({"role": "user", "content": said["user"]})
        if said["reminder"]:
            items.append({"role": "developer", "content": said["reminder"]})
        if said["thought"]:
            summary = [{"type": "summary_text", "text": said["thought"]}]
            thought = {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": "Z0FB"}
            items.append(thought)
        items.append({"role": "assistant", "content": [{"type": "output_text", "text": said["said"]}]})
        calls = _calls(number, said)
        items += [
            {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
            for call_id, name, arguments, _ in calls
        ]
        results = [{"type": "function_call_output", "call_id": one[0], "output": one[3]} for one in calls]
        items += reversed(results) if said["shuffled"] else results
    items += [{"role": "user", "content": text} for text in question]
    return {"model": "m", "instructions": "Be kind.", "input": items}


def gemini_contents(conversation: list[dict[str, Any]], question: list[str]) -> dict[str, Any]:
    """Where all ids would be the same there are none: results find their calls by name and order."""
    contents: list[Any] = []
    for number, said in enumerate(conversation):
        contents.append({"role": "user", "parts": [{"text": said["user"]}]})
        if said["reminder"]:
            contents.append({"role": "system", "parts": [{"text": said["reminder"]}]})
        parts: list[Any] = [{"text": said["thought"], "thought": True}] if said["thought"] else []
        parts.append({"text": said["said"]})
        results = []
        for call_id, name, arguments, result in _calls(number, said):
            known = {"name": name} if said["id"] == "same" else {"name": name, "id": call_id}
            parts.append({"functionCall": {**known, "args": json.loads(arguments)}, "thoughtSignature": "c2ln"})
            results.append({"functionResponse": {**known, "response": {"output": result}}})
        contents.append({"role": "model", "parts": parts})
        if said["shuffled"]:
            results.reverse()
        if results:
            contents.append({"role": "user", "parts": results})
    contents += [{"role": "user", "parts": [{"text": text}]} for text in question]
    return {"systemInstruction": {"parts": [{"text": "Be kind."}]}, "contents": contents}


WRITERS: dict[DialectName, Any] = {
    "chat": chat_messages,
    "messages": messages_messages,
    "responses": responses_items,
    "gemini": gemini_contents,
}
LIST = {"chat": "messages", "messages": "messages", "responses": "input", "gemini": "contents"}


def _sent(caller: DialectName, upstream: DialectName, conversation: list[dict[str, Any]], *question: str) -> bytes:
    """The messages (items, contents) as the upstream gets them, less the brackets that close them."""
    asked = DIALECTS[caller].decode_request(json.dumps(WRITERS[caller](conversation, [*question])).encode())
    asked = msgspec.structs.replace(asked, model=MODELS.get(upstream, "m"))
    body = DIALECTS[upstream].encode_request(asked, Profile(provider=PROVIDERS[upstream])).body
    raw = bytes(msgspec.json.decode(body, type=dict[str, msgspec.Raw])[LIST[upstream]])
    return raw.rstrip(b"]}")


@pairs
@settings(max_examples=settings().max_examples // 2)
@given(conversation=conversations)
def test_a_longer_conversation_begins_with_the_bytes_of_the_shorter(
    caller: DialectName, upstream: DialectName, conversation: list[dict[str, Any]]
) -> None:
    next_one = conversation[0]
    whole = _sent(caller, upstream, [*conversation, next_one], "And?")
    for length in range(1, len(conversation) + 1):
        begun = conversation[:length]
        following = (conversation[length] if length < len(conversation) else next_one)["user"]
        assert whole.startswith(_sent(caller, upstream, begun, following))
        if begun[-1]["calls"]:  # the results have been sent, the next word is the assistant's
            assert whole.startswith(_sent(caller, upstream, begun))


def _again(name: DialectName, body: bytes) -> bytes:
    """A request read and written in one and the same dialect."""
    asked = msgspec.structs.replace(DIALECTS[name].decode_request(body), model=MODELS.get(name, "m"))
    return DIALECTS[name].encode_request(asked, Profile(provider=PROVIDERS[name])).body


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=settings().max_examples // 2)
@given(conversation=conversations)
def test_a_conversation_in_its_own_dialect_stays_what_it_is(
    name: DialectName, conversation: list[dict[str, Any]]
) -> None:
    """Once it is in the form that is written, reading and writing change nothing more; and all that was said and done
    is still there, in the order in which it was."""
    body = json.dumps(WRITERS[name](conversation, ["And?"])).encode()
    written = _again(name, body)
    assert _again(name, written) == written
    request = DIALECTS[name].decode_request(written)
    parts = [part for turn in request.turns if turn.role == "assistant" for part in turn.parts]
    said = [part.text for part in parts if isinstance(part, Text)]
    assert said == [round_["said"] for round_ in conversation]
    calls = [json.loads(part.arguments) for part in parts if isinstance(part, ToolCall)]
    assert calls == [{"x": text} for round_ in conversation for _, text in round_["calls"]]
    results = [part for turn in request.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert len(results) == len(calls)


@pytest.mark.parametrize("name", NAMES)
def test_a_request_in_its_own_dialect_stays_what_it_is(name: DialectName) -> None:
    """Every request of the golden files that its own dialect can say."""
    seen = 0
    for path in sorted(CASES.glob(f"{name}-*/*/request.json")):
        with suppress(ClientError):
            written = _again(name, path.read_bytes())
            assert _again(name, written) == written, path
            seen += 1
    assert seen >= 20


def _answers(upstream: str) -> list[Path]:
    """Every streamed answer of this upstream that there is, whoever asked, that does not break off and that all
    dialects can say: in one candidate, with arguments that are JSON."""
    found = sorted(CASES.glob(f"*-{upstream}/*/answer.sse"))
    left_out = ("midway", "cut-off", "candidates", "broken-arguments")
    whole = [path for path in found if not path.parent.name.endswith(left_out)]
    assert len(whole) >= 4
    return whole


def _meaning(response: Response) -> Any:
    """What a caller gets out of an answer, however it is cut into parts."""
    (candidate,) = response.candidates
    parts, usage = candidate.parts, response.usage
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    return {
        "text": "".join(part.text for part in parts if isinstance(part, Text)),
        "thoughts": "".join(part.text + "".join(part.summary) for part in thoughts),
        "carriers": [(carrier.kind, carrier.data) for part in thoughts for carrier in part.carriers],
        "calls": [
            (call.id, call.name, json.loads(call.arguments or "{}")) for call in parts if isinstance(call, ToolCall)
        ],
        "finish": candidate.finish,
        "usage": usage and msgspec.structs.replace(usage, raw=None),
        "frame": (response.id, response.model, response.created),
    }


def _answer() -> Answer:
    numbers = iter(range(1, 1000))
    return Answer(model="m", include_usage=True, mint=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1.7e9)


def _decoded(dialect: Dialect, stream: bytes) -> list[Any]:
    decoder = dialect.stream_decoder(Restore())
    return [*decoder.feed(stream), *decoder.end()]


@pairs
def test_a_stream_folded_is_the_answer_in_one_piece(caller: DialectName, upstream: DialectName) -> None:
    """What the caller's own reader makes of the translated stream, and what it makes of the translated whole."""
    theirs, ours = DIALECTS[upstream], DIALECTS[caller]
    for path in _answers(upstream):
        events = _decoded(theirs, path.read_bytes())
        whole = ours.encode_response(fold(events), _answer())
        encoder = ours.stream_encoder(_answer())
        stream = b"".join(encoder.feed([event]) for event in events)

        assert _meaning(fold(_decoded(ours, stream))) == _meaning(ours.decode_response(whole, Restore())), path
