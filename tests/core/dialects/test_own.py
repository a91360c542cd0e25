"""What only this gateway can read leaves a body that is passed on, and nothing else does."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.chat.own import without_own_details
from asgi_llm.dialects.gemini.own import without_own_signatures
from asgi_llm.dialects.gemini.signatures import SENTINEL, Held, seal
from asgi_llm.dialects.responses.envelope import Envelope, pack
from asgi_llm.dialects.responses.own import without_own_proofs
from asgi_llm.neutral.request import Carrier, Reasoning

SIGNED = (Carrier("anthropic.signature", "c2ln"),)
SEALED = seal([Held(Reasoning("Hm.", carriers=SIGNED))])
PROOF = pack(Envelope(SIGNED))
THEIRS = '{"type": "reasoning",\t"id":"rs_1", "summary":[], "encrypted_content":"gAAA"}'
OWN = f'{{"type":"reasoning","id":"rs_2","summary":[],"encrypted_content":"{PROOF}"}}'
SAID = '{ "role":"user", "content":"asgi-llm.1. and asgi-llm/ are but text", "n":1.0 }'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([SAID, OWN, THEIRS], [SAID, THEIRS]),
        ([OWN, SAID], [SAID]),
        ([SAID, OWN, OWN], [SAID]),
        ([SAID, THEIRS], [SAID, THEIRS]),
    ],
)
def test_responses_lose_the_items_that_hold_envelopes(given: list[str], expected: list[str]) -> None:
    def body(items: list[str]) -> bytes:
        return f'{{"model":"m", "input":[{",".join(items)}] ,"z":12345678901234567890}}'.encode()

    assert without_own_proofs(body(given)) == body(expected)


def test_a_compaction_of_our_own_goes_on_as_its_text() -> None:
    folded = pack(Envelope((Carrier("text.replay", "They spoke of ☃."),)))
    body = {"model": "m", "input": [{"type": "compaction", "encrypted_content": folded}, {"role": "user"}]}
    (first, second) = json.loads(without_own_proofs(json.dumps(body).encode()))["input"]
    assert first["content"] == [{"type": "input_text", "text": "They spoke of ☃."}]
    assert second == {"role": "user"}


def contents(*parts: dict[str, Any]) -> bytes:
    asked = {"role": "user", "parts": [{"text": SEALED}]}
    return json.dumps({"contents": [asked, {"role": "model", "parts": parts}]}).encode()


def test_gemini_loses_the_envelopes_and_keeps_its_own_signatures() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    own = {"text": "b", "thoughtSignature": "c2ln"}
    given = contents(
        {"text": "a", "thoughtSignature": SEALED},
        own,
        {**call, "thought_signature": SEALED},
        {"text": "", "thoughtSignature": SEALED},
    )
    expected = contents({"text": "a"}, own, {**call, "thought_signature": SENTINEL})
    assert without_own_signatures(given) == expected
    assert without_own_signatures(expected) == expected


def test_an_answer_that_was_nothing_but_an_envelope_keeps_its_place() -> None:
    assert without_own_signatures(contents({"text": "", "thoughtSignature": SEALED})) == contents({"text": ""})


def test_chat_loses_the_details_that_hold_proofs() -> None:
    ours = {"type": "reasoning.text", "format": "asgi-llm/anthropic.signature", "signature": "c2ln"}
    theirs = {"type": "reasoning.encrypted", "format": "openai-responses-v1", "data": "x"}

    def body(*messages: Any) -> bytes:
        return json.dumps({"messages": [json.loads(SAID), *messages], "model": "m"}).encode()

    said = {"role": "assistant", "content": "Hi."}
    assert without_own_details(body({**said, "reasoning_details": [ours]})) == body(said)
    mixed = without_own_details(body({**said, "reasoning_details": [ours, theirs]}))
    assert mixed == body({**said, "reasoning_details": [theirs]})
    assert without_own_details(body(said)) == body(said)


@pytest.mark.parametrize("clean", [without_own_details, without_own_proofs, without_own_signatures])
@pytest.mark.parametrize(
    "shape",
    [
        '{"%s":"%s"}',
        '{"%s":[["%s"]]}',
        '{"%s":[{"parts":"%s"}]}',
        '[{"%s":"%s"}]',
        '{"%s":[{"reasoning_details":"%s"}]}',
    ],
)
def test_what_is_none_of_it_is_left_to_the_upstream(clean: Any, shape: str) -> None:
    for member in ("messages", "input", "contents"):
        body = (shape % (member, f"asgi-llm/ asgi-llm.1. {SEALED}")).encode()
        assert clean(body) == body
