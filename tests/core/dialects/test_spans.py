"""Spans found in JSON bytes, and edits of them: what is not edited stays, byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.dialects.spans import AmbiguousError, Edits, items, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", " : "), ("\r\n, ", ":\n")])


def written(value: Any, spaces: tuple[str, str], *, ascii_only: bool, around: str) -> bytes:
    return f"{around}{json.dumps(value, separators=spaces, ensure_ascii=ascii_only)}{around}".encode(errors="replace")


@given(st.dictionaries(st.text(), VALUES, max_size=6), SPACES, st.booleans(), st.sampled_from(["", " ", "\n\t"]))
def test_members_stand_where_they_are_said_to(
    value: dict[str, Any], spaces: tuple[str, str], ascii_only: bool, around: str
) -> None:
    body = written(value, spaces, ascii_only=ascii_only, around=around)
    found = members(body)
    said = json.loads(body)
    assert list(found) == list(said)
    for name, place in found.items():
        assert json.loads(body[place.start : place.key_end]) == name
        assert json.loads(body[place.value : place.end]) == said[name]
        assert body[place.value : place.end].strip() == body[place.value : place.end]


@given(st.lists(VALUES, max_size=6), SPACES)
def test_items_stand_where_they_are_said_to(value: list[Any], spaces: tuple[str, str]) -> None:
    body = b'{"a":' + written(value, spaces, ascii_only=True, around=" ") + b"}"
    place = members(body)["a"]
    found = [json.loads(body[start:end]) for start, end in items(body, place.value, place.end)]
    assert found == json.loads(body)["a"]


@given(st.dictionaries(st.text(), VALUES, max_size=6), SPACES, st.data())
def test_what_is_removed_is_gone_and_all_else_stays(
    value: dict[str, Any], spaces: tuple[str, str], data: st.DataObject
) -> None:
    body = written(value, spaces, ascii_only=True, around=" ")
    found = members(body)
    gone = data.draw(st.sets(st.sampled_from(range(len(found))))) if found else set()
    edits = Edits(body)
    edits.remove([(place.start, place.end) for place in found.values()], gone)
    left = edits.apply()
    kept = {name: json.loads(body)[name] for place, name in enumerate(found) if place not in gone}
    assert json.loads(left) == kept
    assert list(json.loads(left)) == list(kept)
    for place, (start, *_, end) in enumerate(found.values()):
        if place not in gone:
            assert body[start:end] in left


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"a":1}',
        '{"a":1,"b":2,"a":3}',
        '{"a":"x","\\u0061":"y"}',
        '{"a":[1,2],"a":1}',
        '{"b":1,"a":2,"a":{"a":3}}',
    ],
)
def test_a_name_given_twice_is_ambiguous(body: str) -> None:
    with pytest.raises(AmbiguousError):
        members(body.encode())
