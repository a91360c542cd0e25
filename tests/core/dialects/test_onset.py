"""When a stream has begun to speak, in each dialect: with the first thing that the model made, and not before."""

import json
from typing import Any

import pytest

from asgi_llm.dialects.onset import Onset
from asgi_llm.testing import Call, chat_events, gemini_events, messages_events, responses_events

BUILDERS: dict[str, Any] = {
    "chat": chat_events,
    "messages": messages_events,
    "responses": responses_events,
    "gemini": gemini_events,
}
SAID: dict[str, dict[str, Any]] = {
    "text": {"pieces": ["spoken"]},
    "thought": {"pieces": ["later"], "reasoning": "spoken"},
    "call": {"pieces": [], "calls": [Call("spoken", "{}")]},
}


def written(event: Any) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event, separators=(",", ":"))
    name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
    return f"{name}data: {text}\n\n".encode()


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("dialect", BUILDERS)
def test_the_first_thing_that_the_model_made(dialect: str, said: str) -> None:
    """Whole events; and byte by byte, where it is known within a few bytes of the same place."""
    events = [written(event) for event in BUILDERS[dialect](**SAID[said])]
    first = next(number for number, event in enumerate(events) if b"spok" in event)
    onset = Onset(dialect, lambda: 7.0)
    fed = [onset.feed(event) for event in events[: first + 1]]
    assert fed == [False] * first + [True]
    assert onset.at == 7.0
    onset = Onset(dialect, lambda: 7.0)
    stream, before = b"".join(events), len(b"".join(events[:first]))
    place = next(place for place in range(len(stream)) if onset.feed(stream[place : place + 1]))
    assert before <= place < before + len(events[first])


def test_what_an_echo_of_the_request_says_is_no_token() -> None:
    """A Responses server repeats the instructions, where anything may stand, in the event that opens the stream."""
    created = {
        "type": "response.created",
        "response": {"instructions": 'say {"type":"response.output_text.delta","delta":"x"}', "output": []},
    }
    assert not Onset("responses", lambda: 0.0).feed(written(created))
