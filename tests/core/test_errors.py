"""The error tree: who is to blame, and what every error carries."""

import pytest

from asgi_llm.errors import (
    AsgiLLMError,
    Cause,
    ClientError,
    ConfigError,
    Kind,
    PolicyError,
    Problem,
    TranslationError,
    UpstreamError,
)


@pytest.mark.parametrize(
    ("error", "base", "status", "code"),
    [
        (ConfigError([Problem("targets", "is required")]), AsgiLLMError, 500, "config_error"),
        (ClientError("no"), AsgiLLMError, 400, "invalid_request"),
        (ClientError("no", kind=Kind.TOO_LARGE, code="body_too_large"), AsgiLLMError, 413, "body_too_large"),
        (TranslationError("no"), ClientError, 400, "unsupported_content"),
        (PolicyError("no", kind=Kind.PERMISSION, code="denied"), AsgiLLMError, 403, "denied"),
        (UpstreamError("no", cause=Cause.CONNECT), AsgiLLMError, 502, "upstream_error"),
    ],
)
def test_each_branch_has_its_status_and_code(
    error: AsgiLLMError, base: type[AsgiLLMError], status: int, code: str
) -> None:
    assert isinstance(error, base)
    assert (error.status, error.code, str(error)) == (status, code, error.message)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_an_error_status(kind: Kind) -> None:
    assert 400 <= kind.status <= 504


def test_a_translation_error_names_the_field() -> None:
    assert TranslationError("Audio cannot be sent.", param="messages[0].content[1]").param == "messages[0].content[1]"


def test_an_upstream_error_keeps_what_the_upstream_said() -> None:
    error = UpstreamError(
        "slow down", cause=Cause.STATUS, kind=Kind.RATE_LIMIT, upstream_status=429, retry_after=2.5, body=b"{}"
    )
    assert (error.cause, error.status, error.upstream_status) == (Cause.STATUS, 429, 429)
    assert (error.retry_after, error.body, error.content_type) == (2.5, b"{}", None)


def test_a_config_error_lists_every_problem() -> None:
    problems = [Problem("default_target", 'there is no target "x"'), Problem("", "the file llm.toml is not TOML")]
    assert str(ConfigError(problems)) == (
        "2 problems in the settings of asgi-llm:\n"
        '  default_target: there is no target "x"\n'
        "  the file llm.toml is not TOML"
    )
    assert str(ConfigError(problems[:1])).startswith("1 problem in the settings")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Kind.AUTHENTICATION), (403, Kind.PERMISSION), (418, Kind.BAD_REQUEST), (429, Kind.RATE_LIMIT),
     (500, Kind.SERVER), (503, Kind.OVERLOADED), (529, Kind.OVERLOADED), (599, Kind.SERVER)],
)  # fmt: skip
def test_a_status_says_what_went_wrong(status: int, kind: Kind) -> None:
    assert Kind.of_status(status) is kind
