"""Surgical edits of JSON bytes: what is edited decodes as meant, and every other byte stays."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_llm.dialects.peek import peek
from asgi_llm.dialects.splice import ask_for_usage, member_span, replace_member, set_model

KEYS = st.sampled_from(["model", "messages", 'x"model', "model\\", "a:b", "{", "stream_options"]) | st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
BREAKS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\n"), (",\r\n\t", ":")])


def written(members: list[tuple[str, Any]], breaks: tuple[str, str], *, ascii_only: bool) -> bytes:
    return json.dumps(dict(members), separators=breaks, ensure_ascii=ascii_only).encode()


def among(rest: dict[str, Any], place: int, name: str, value: Any) -> list[tuple[str, Any]]:
    """The members of an object, with one of them at the given place."""
    members = [(key, item) for key, item in rest.items() if key != name]
    members.insert(place, (name, value))
    return members


@given(JSON, st.dictionaries(KEYS, JSON, max_size=6), BREAKS, st.booleans(), JSON, KEYS, st.integers(0, 6))
def test_the_value_is_replaced_and_every_other_byte_stays(
    old: Any, rest: dict[str, Any], breaks: tuple[str, str], ascii_only: bool, new: Any, name: str, place: int
) -> None:
    members = among(rest, place, name, old)
    body, value = written(members, breaks, ascii_only=ascii_only), json.dumps(new).encode()
    edited = replace_member(body, name, value)
    assert json.loads(edited) == dict(members) | {name: new}
    ((start, end),) = member_span(body, name)
    assert json.loads(body[start:end]) == old
    assert edited == body[:start] + value + body[end:]


@given(st.dictionaries(KEYS, JSON, max_size=6), BREAKS, st.booleans(), st.text(), st.integers(0, 6))
@example({'x"model': "z"}, (",", ":"), True, "fast", 6)
@example({"messages": [{"model": "z"}]}, (",", ":"), True, "fast", 6)
def test_the_model_is_set_wherever_it_stands_and_whatever_stands_around(
    rest: dict[str, Any], breaks: tuple[str, str], ascii_only: bool, model: str, place: int
) -> None:
    members = among(rest, place, "model", "the caller's name")
    body = written(members, breaks, ascii_only=ascii_only)
    edited = set_model(body, model)
    assert json.loads(edited) == dict(members) | {"model": model}
    ((start, end),) = member_span(body, "model")
    assert edited[:start] == body[:start]
    assert edited.endswith(body[end:])


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (rb'{"model":"a"}', rb'{"model":"new"}'),
        (b' {\n\t"model" : "a" ,"x":1}\n', b' {\n\t"model" : "new" ,"x":1}\n'),
        (rb'{"model":"a\"b\\","x":"\"model\":\"a\""}', rb'{"model":"new","x":"\"model\":\"a\""}'),
        (rb'{"mod\u0065l":"a","x":{"model":"b"}}', rb'{"mod\u0065l":"new","x":{"model":"b"}}'),
        (rb'{"x\"model":"z","model":"a"}', rb'{"x\"model":"z","model":"new"}'),
        (rb'{"x\\":"z","model":"a"}', rb'{"x\\":"z","model":"new"}'),
        (rb'{"x":[{"model":"b"}],"model":"a"}', rb'{"x":[{"model":"b"}],"model":"new"}'),
        (rb'{"x":{"model":"b"},"model":"a","y":{"model":"c"}}',
         rb'{"x":{"model":"b"},"model":"new","y":{"model":"c"}}'),
        (rb'{"x":"[{\"model\":","model":"a"}', rb'{"x":"[{\"model\":","model":"new"}'),
        (rb'{"seed":123456789012345678901234567890,"t":1.10,"model":"a"}',
         rb'{"seed":123456789012345678901234567890,"t":1.10,"model":"new"}'),
        (rb'{"big":1e400,"model":"a","e":"\u00e9\/"}', rb'{"big":1e400,"model":"new","e":"\u00e9\/"}'),
    ],
)  # fmt: skip
def test_the_model_alone_changes(body: bytes, edited: bytes) -> None:
    assert set_model(body, "new") == edited


def test_what_is_judged_is_what_is_sent() -> None:
    """A key made to look like the model must not let the caller's own name through in its place."""
    body = rb'{"x\"model":"z","model":"allowed alias","messages":[]}'
    assert peek("chat", set_model(body, "upstream name")).model == "upstream name"


def test_a_model_between_many_others_deep_in_a_large_body() -> None:
    turn = {"role": "user", "content": 'say "model": "x"', "tool": {"model": "x", "list": [[{"model": "y"}]]}}
    turns = json.dumps([turn] * 8000)
    body = f'{{"messages": {turns}, "model": "a", "tools": {turns}}}'.encode()
    assert len(body) > 1_000_000
    edited = set_model(body, "new")
    assert edited == body.replace(b'"model": "a"', b'"model": "new"')


def test_a_model_of_any_text_is_escaped() -> None:
    assert json.loads(set_model(b'{"model":"a"}', 'b"\\\n\u2028\x00é')) == {"model": 'b"\\\n\u2028\x00é'}


def test_a_name_that_is_right_already_changes_nothing() -> None:
    body = rb'{"x":[1],"model":"a","y":{"model":"a"}}'
    assert set_model(body, "a") == body


@pytest.mark.parametrize(
    ("body", "spans"),
    [
        (b"{}", []),
        (b'{"b":1}', []),
        (b'{"a":1,"a":2}', [b"1", b"2"]),
        (b'{"a":{"a":1},"b":[{"a":2}]}', [b'{"a":1}']),
        (b'{"b":{"a":1},"a":  [1, {"x":"]"}] }', [b'[1, {"x":"]"}]']),
        (rb'{"\u0061":1}', [b"1"]),
        (rb'{"b":"a","a":"b\"}"}', [rb'"b\"}"']),
        (b'{"a":-1.5e3}', [b"-1.5e3"]),
        (b'{"a":null,"b":0}', [b"null"]),
        (b'[{"a":1}]', []),
        (b'"a"', []),
        (b"", []),
    ],
)
def test_spans_are_those_of_top_level_members(body: bytes, spans: list[bytes]) -> None:
    assert [body[start:end] for start, end in member_span(body, "a")] == spans


@given(st.binary(max_size=60) | st.text('{}[]",:\\ au0061', max_size=60).map(str.encode))
@example(rb'{"\q":1}')
@example(b"{:1}")
@example(b'{"\xff":1}')
def test_bytes_that_are_no_json_are_no_crash(body: bytes) -> None:
    for start, end in member_span(body, "a"):
        assert 0 < start <= end <= len(body)


def test_every_duplicate_is_replaced() -> None:
    assert replace_member(b'{"a":1, "b":2, "a" :3}', "a", b"[]") == b'{"a":[], "b":2, "a" :[]}'


def test_a_member_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        replace_member(b'{"b":{"a":1}}', "a", b"2")


@pytest.mark.parametrize(
    ("body", "edited"),
    [
        (b'{"model":"m"}', b'{"stream_options":{"include_usage":true},"model":"m"}'),
        (b' { "model":"m"}', b' {"stream_options":{"include_usage":true}, "model":"m"}'),
        (b'{"stream_options": null ,"n":1}', b'{"stream_options": {"include_usage":true} ,"n":1}'),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
        (
            b'{"stream_options":{"include_usage":false,"x":1.0}}',
            b'{"stream_options":{"include_usage":true,"x":1.0}}',
        ),
        (b'{"stream_options":{"x":[1]},"y":2}', b'{"stream_options":{"x":[1],"include_usage":true},"y":2}'),
    ],
)
def test_usage_is_asked_for_beside_other_options(body: bytes, edited: bytes) -> None:
    spans = member_span(body, "stream_options")
    options = body[slice(*spans[0])] if spans else b""
    assert ask_for_usage(body, options) == edited
