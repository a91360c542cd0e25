"""What an upstream says of money, taken out of its answers."""

import json

import pytest

from asgi_llm.dialects.costs import HideCosts, without_costs

CASES = [
    (
        '{"id":1, "usage" : {"prompt_tokens":1,"cost":0.5, "is_byok":false,"cost_details":{"x":1}}}',
        '{"id":1, "usage" : {"prompt_tokens":1}}',
    ),
    ('{"usage":{"cost":0.5,"total_tokens":3}}', '{"usage":{"total_tokens":3}}'),
    ('{"usage":{"cost":0.5}}', '{"usage":{}}'),
    ('{"type":"x","message":{"usage":{"cost":1,"a":2}}}', '{"type":"x","message":{"usage":{"a":2}}}'),
    ('{"response":{"usage":{"a":1,"cost":null}},"cost":"mine"}', '{"response":{"usage":{"a":1}},"cost":"mine"}'),
    (
        '{"provider_metadata":{"gateway":{"cost":"1","marketCost":"2","routing":{}},"x":{"cost":1}}}',
        '{"provider_metadata":{"x":{"cost":1}}}',
    ),
    (
        '{"choices":[{"delta":{"content":"a cost","provider_metadata":{"gateway":{"cost":"1"}}},"index":0}]}',
        '{"choices":[{"delta":{"content":"a cost","provider_metadata":{}},"index":0}]}',
    ),
    (
        '{"choices":[{"message":{"provider_metadata":{"a":{"s":"1"},"gateway":{"cost":"1"}}},"usage":{"cost":1}}]}',
        '{"choices":[{"message":{"provider_metadata":{"a":{"s":"1"}}},"usage":{}}]}',
    ),
    (
        '{"usage":{"a":1,"market_cost":1,"gateway_cost":1,"cost_in_usd_ticks":5,"b":2}}',
        '{"usage":{"a":1,"b":2}}',
    ),
    ('{"openrouter_metadata":{"is_byok":true},"id":1}', '{"id":1}'),
    ('{"x_groq":{"usage":{"cost":1}}}', '{"x_groq":{"usage":{}}}'),
    ('{"choices":[{"text":"the \\"cost\\": 5"}]}', '{"choices":[{"text":"the \\"cost\\": 5"}]}'),
    ('{"usage":{"prompt_tokens":1}}', '{"usage":{"prompt_tokens":1}}'),
    ('{"usage":null,"cost":1}', '{"usage":null,"cost":1}'),
    ('["cost"]', '["cost"]'),
    ('{"cost', '{"cost'),
]  # fmt: skip


@pytest.mark.parametrize(("body", "told"), CASES)
def test_only_money_goes(body: str, told: str) -> None:
    assert without_costs(body.encode()).decode() == told


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_in_a_stream_cut_anywhere(size: int) -> None:
    stream = (
        b': hello\n\ndata: {"choices":[{"delta":{"content":"\\"cost\\""}}]}\n\n'
        b'event: x\ndata: {"usage":{"a":1,"cost":0.25,"b":2}}\n\ndata: [DONE]\n\n'
    )
    edit = HideCosts()
    told = b"".join(edit.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + edit.end()
    assert told == stream.replace(b',"cost":0.25', b"")
    assert json.loads(told.split(b"\n")[5][6:]) == {"usage": {"a": 1, "b": 2}}
