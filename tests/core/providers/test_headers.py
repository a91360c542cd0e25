"""Which headers cross the gateway: named ones only, and credentials never."""

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_llm.neutral.request import DialectName
from asgi_llm.providers.headers import TRACE, request_headers, returned_headers
from asgi_llm.types import Headers

DIALECTS: list[DialectName] = ["chat", "messages", "responses", "gemini"]
CREDENTIALS = [b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"]
FRAMING = [
    b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"connection",
    b"accept-encoding", b"expect", b"te", b"trailer", b"upgrade", b"keep-alive",
]  # fmt: skip
EVERYTHING = re.compile(fnmatch.translate("*")).match


def pairs(*names: bytes) -> Headers:
    return [(name, b"value") for name in names]


@pytest.mark.parametrize("dialect", [*DIALECTS, None])
@pytest.mark.parametrize("name", [*CREDENTIALS, *FRAMING])
def test_credentials_and_framing_never_pass_whatever_the_user_allows(dialect: DialectName | None, name: bytes) -> None:
    assert request_headers(dialect, [EVERYTHING]).passing(pairs(name)) == []
    assert returned_headers(dialect).passing(pairs(name)) == []


@pytest.mark.parametrize("dialect", [*DIALECTS, None])
def test_what_a_host_trusts_does_not_leave_it_or_come_back(dialect: DialectName | None) -> None:
    own = pairs(
        b"x-forwarded-for", b"forwarded", b"x-csrftoken", b"x-session-token", b"referer", b"origin", b"set-cookie"
    )
    assert request_headers(dialect).passing(own) == []
    assert (
        returned_headers(dialect).passing(
            [*own, *pairs(b"server", b"via", b"set-cookie", b"strict-transport-security")]
        )
        == []
    )


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        (
            "chat",
            [
                b"openai-beta",
                b"x-stainless-lang",
                b"session_id",
                b"x-session-id",
                b"user-agent",
                b"x-client-request-id",
            ],
        ),
        ("responses", [b"openai-beta", b"x-codex-turn-metadata", b"session-id", b"thread-id", b"originator"]),
        ("messages", [b"anthropic-version", b"anthropic-beta", b"x-claude-code-session-id", b"x-app", b"user-agent"]),
        ("gemini", [b"x-goog-api-client", b"user-agent"]),
    ],
)
def test_the_protocols_own_headers_pass_to_an_upstream_of_the_same_dialect_only(
    dialect: DialectName, names: list[bytes]
) -> None:
    assert request_headers(dialect).passing(pairs(*names)) == pairs(*names)
    assert request_headers(None).passing(pairs(*names)) == []


@pytest.mark.parametrize("dialect", [*DIALECTS, None])
def test_the_trace_passes_to_every_upstream(dialect: DialectName | None) -> None:
    assert request_headers(dialect).passing(pairs(*sorted(TRACE))) == pairs(*sorted(TRACE))


def test_one_dialects_headers_do_not_pass_in_another() -> None:
    assert (
        request_headers("chat").passing(pairs(b"anthropic-beta", b"x-codex-beta-features", b"x-goog-api-client")) == []
    )
    assert request_headers("messages").passing(pairs(b"openai-beta", b"originator")) == []


def test_the_users_patterns_add_to_the_list() -> None:
    allowed = request_headers("chat", [re.compile(fnmatch.translate("x-team-*")).match])
    assert allowed.passing(pairs(b"x-team-name", b"x-other", b"openai-beta")) == pairs(b"x-team-name", b"openai-beta")


@pytest.mark.parametrize(
    ("dialect", "back", "kept"),
    [
        ("chat", [b"x-request-id", b"openai-version", b"x-ratelimit-remaining-requests"], [b"request-id"]),
        ("responses", [b"x-request-id", b"openai-processing-ms"], [b"anthropic-ratelimit-x"]),
        ("messages", [b"request-id", b"anthropic-ratelimit-tokens-reset"], [b"x-request-id", b"x-ratelimit-x"]),
        (None, [], [b"x-request-id", b"request-id", b"x-ratelimit-x", b"anthropic-ratelimit-x"]),
    ],
)
def test_an_answers_headers_come_back_by_dialect(
    dialect: DialectName | None, back: list[bytes], kept: list[bytes]
) -> None:
    assert returned_headers(dialect).passing(pairs(*back, *kept)) == pairs(*back)


@pytest.mark.parametrize("dialect", [*DIALECTS, None])
def test_when_to_come_again_is_always_told(dialect: DialectName | None) -> None:
    wanted = pairs(b"retry-after", b"retry-after-ms", b"x-should-retry")
    assert returned_headers(dialect).passing(wanted) == wanted


def test_order_and_duplicates_stay() -> None:
    headers = [(b"anthropic-beta", b"b"), (b"cookie", b"c"), (b"anthropic-beta", b"a"), (b"anthropic-beta", b"b")]
    assert request_headers("messages").passing(headers) == [headers[0], headers[2], headers[3]]


@given(st.lists(st.binary(max_size=12), max_size=20))
def test_any_name_is_judged_and_a_second_time_alike(names: list[bytes]) -> None:
    allowed = request_headers("chat", [re.compile("x").match])
    headers = pairs(*names)
    assert allowed.passing(headers) == allowed.passing(headers)


def test_judging_goes_on_when_the_memory_is_full() -> None:
    allowed = request_headers("chat")
    flood = pairs(*(b"x-invented-%d" % number for number in range(2000)))
    assert allowed.passing(flood) == []
    assert allowed.passing(pairs(b"openai-beta", b"authorization")) == pairs(b"openai-beta")
