"""Fields in which a body names a user."""

from typing import Any

import pytest

from asgi_llm.dialects.users import named_users, overwrite_users, remove_users
from asgi_llm.errors import ClientError

CASES: list[tuple[Any, str, list[str], str, str]] = [
    (
        "chat",
        '{"user" : "ann", "m":1,"safety_identifier":"x","metadata":{"a":"b","user_id":"ann"}}',
        ["user", "safety_identifier", "metadata.user_id"],
        '{"user" : "me", "m":1,"safety_identifier":"me","metadata":{"a":"b","user_id":"me"}}',
        '{"m":1,"metadata":{"a":"b"}}',
    ),
    ("chat", '{"m":{"user":"x"}}', [], '{"m":{"user":"x"}}', '{"m":{"user":"x"}}'),
    ("responses", '{"input":1,"user":null}', ["user"], '{"input":1,"user":"me"}', '{"input":1}'),
    (
        "messages",
        '{"user":"no field","metadata":{"user_id":"ann"},"x":1}',
        ["metadata.user_id"],
        '{"user":"no field","metadata":{"user_id":"me"},"x":1}',
        '{"user":"no field","metadata":{},"x":1}',
    ),
    ("messages", '{"metadata":"text"}', [], '{"metadata":"text"}', '{"metadata":"text"}'),
    ("gemini", '{"user":"x"}', [], '{"user":"x"}', '{"user":"x"}'),
    ("chat", "no JSON", [], "no JSON", "no JSON"),
    (
        "chat",
        r'{"u\u0073er":"ann","m":1}',
        ["user"],
        r'{"u\u0073er":"me","m":1}',
        '{"m":1}',
    ),
]


@pytest.mark.parametrize(("dialect", "body", "paths", "overwritten", "removed"), CASES)
def test_only_these_fields_change(dialect: Any, body: str, paths: list[str], overwritten: str, removed: str) -> None:
    raw = body.encode()
    assert [path for path, _ in named_users(dialect, raw)] == paths
    assert overwrite_users(dialect, raw, "me").decode() == overwritten
    assert remove_users(dialect, raw).decode() == removed


@pytest.mark.parametrize("body", ['{"user":"a","user":"b"}', '{"metadata":{"user_id":"a","user_id":"b"}}'])
def test_what_servers_may_see_differently_is_refused(body: str) -> None:
    for change in (lambda: overwrite_users("chat", body.encode(), "me"), lambda: remove_users("chat", body.encode())):
        with pytest.raises(ClientError):
            change()
