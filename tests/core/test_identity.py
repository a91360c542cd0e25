"""Who a host's user is."""

from types import SimpleNamespace
from typing import Any

import pytest

from asgi_llm.identity import shown_key, subject_of


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("ann", "ann"),
        ({"sub": "u-1", "email": "a@b.c"}, "u-1"),
        (SimpleNamespace(id=0, username="ann"), "0"),
        (SimpleNamespace(id=None, username="ann"), "ann"),
        (SimpleNamespace(id="", email="a@b.c"), "a@b.c"),
        (SimpleNamespace(pk=7, id=8), "7"),
    ],
)
def test_the_first_name_that_says_something_is_the_subject(user: Any, subject: str) -> None:
    assert subject_of(user, first=("pk",)) == subject


@pytest.mark.parametrize("user", ["", {}, {"id": ""}, SimpleNamespace(name="ann"), 7])
def test_who_has_no_name_cannot_be_told(user: Any) -> None:
    with pytest.raises(TypeError, match=r"none of id, sub, username, email; say who"):
        subject_of(user, advice="say who")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer "}, None),
        ({"x-api-key": "k", "authorization": "Bearer other"}, "k"),
        ({"x-goog-api-key": "k"}, "k"),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_the_key_is_found_wherever_clients_put_it(headers: dict[str, str], key: str | None) -> None:
    assert shown_key(headers) == key
    assert shown_key([(name.encode(), value.encode()) for name, value in headers.items()]) == key
