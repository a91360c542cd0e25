"""How much output a request allows, read and lowered in the caller's own bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.caps import clamp, read_cap

FIELD: dict[Any, str] = {
    "chat": "max_completion_tokens",
    "messages": "max_tokens",
    "responses": "max_output_tokens",
    "gemini": "maxOutputTokens",
}

READ = [
    ("chat", '{"max_tokens":5}', 5),
    ("chat", '{"max_completion_tokens":7,"max_tokens":5}', 7),
    ("chat", '{"max_tokens":5,"n":3}', 15),
    ("chat", '{"max_tokens":"5"}', None),
    ("chat", '{"max_tokens":true}', None),
    ("chat", '{"max_tokens":-1}', None),
    ("chat", "[]", None),
    ("chat", "{", None),
    ("messages", '{"max_tokens":1e3}', 1000),
    ("responses", '{"max_output_tokens":9,"max_tokens":4}', 9),
    ("gemini", '{"generationConfig":{"maxOutputTokens":9,"candidateCount":2}}', 18),
    ("gemini", '{"generation_config":{"max_output_tokens":9}}', 9),
    ("gemini", '{"maxOutputTokens":9}', None),
    ("gemini", '{"generationConfig":null}', None),
]


@pytest.mark.parametrize(("dialect", "body", "cap"), READ)
def test_reading(dialect: Any, body: str, cap: int | None) -> None:
    assert read_cap(dialect, body.encode()) == cap


CLAMPED = [
    ("chat", '{"model":"m", "max_tokens" : 500 ,"x":1}', '{"model":"m", "max_tokens" : 100 ,"x":1}'),
    ("chat", '{"max_tokens":50}', '{"max_tokens":50}'),
    ("chat", '{"max_tokens":500,"max_completion_tokens":50}', '{"max_tokens":100,"max_completion_tokens":50}'),
    ("chat", '{"model":"m"}', '{"max_completion_tokens":100,"model":"m"}'),
    ("chat", "{}", '{"max_completion_tokens":100}'),
    ("chat", '{"max_tokens":null}', '{"max_tokens":100}'),
    ("chat", '{"x":{"max_tokens":900},"max_tokens":500}', '{"x":{"max_tokens":900},"max_tokens":100}'),
    ("chat", '{"max_tokens":500,"x":{"max_tokens":900}}', '{"max_tokens":100,"x":{"max_tokens":900}}'),
    ("chat", r'{"max\u005ftokens":500}', r'{"max\u005ftokens":100}'),
    ("chat", '{"max_tokens":1,"max_tokens":500}', '{"max_tokens":1,"max_tokens":100}'),
    ("chat", r'{"t":"\"max_tokens\":900","max_tokens":500}', r'{"t":"\"max_tokens\":900","max_tokens":100}'),
    ("messages", '{"max_tokens":500.0}', '{"max_tokens":100}'),
    ("responses", '{"max_output_tokens":500}', '{"max_output_tokens":100}'),
    ("gemini", '{"contents":[]}', '{"generationConfig":{"maxOutputTokens":100},"contents":[]}'),
    ("gemini", '{"generationConfig":null}', '{"generationConfig":{"maxOutputTokens":100}}'),
    ("gemini", '{"generationConfig":{}}', '{"generationConfig":{"maxOutputTokens":100}}'),
    (
        "gemini",
        '{"generationConfig":{"topK":1,"maxOutputTokens":500}}',
        '{"generationConfig":{"topK":1,"maxOutputTokens":100}}',
    ),
    (
        "gemini",
        '{"generation_config":{"max_output_tokens":500}}',
        '{"generation_config":{"max_output_tokens":100}}',
    ),
    ("chat", "not JSON", "not JSON"),
]


@pytest.mark.parametrize(("dialect", "body", "clamped"), CLAMPED)
def test_only_the_number_changes(dialect: Any, body: str, clamped: str) -> None:
    assert clamp(dialect, body.encode(), 100, FIELD[dialect]).decode() == clamped


names = st.sampled_from([*FIELD.values(), "max_tokens", "generationConfig", "a", "b"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(dialect=st.sampled_from(list(FIELD)), body=st.dictionaries(names, values, max_size=6))
def test_whatever_the_body_is_no_more_is_allowed_afterwards(dialect: Any, body: dict[str, Any]) -> None:
    if "generationConfig" in body and not isinstance(body["generationConfig"], dict | None):
        return  # no body of that dialect, as its upstream says
    told = clamp(dialect, json.dumps(body).encode(), 100, FIELD[dialect])
    json.loads(told)
    cap = read_cap(dialect, told)
    assert cap is not None
    assert cap <= 100
