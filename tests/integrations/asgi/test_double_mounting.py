"""A gateway that is mounted twice where only one of both could ever answer."""

from typing import Any

import pytest

from asgi_llm import ConfigError, Gateway, LLMMiddleware

OPEN: dict[str, Any] = {"targets": {"echo": {"provider": "echo"}}, "auth": {"anonymous": True}}


async def site(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


class Between:
    def __init__(self, app: Any) -> None:
        self.app = app


@pytest.mark.parametrize("between", [lambda app: app, Between], ids=["direct", "between"])
@pytest.mark.parametrize("same", [True, False])
def test_one_prefix_twice_is_refused(same: bool, between: Any) -> None:
    gateway = Gateway(OPEN)
    inner = LLMMiddleware(site, gateway, prefix="/llm/")
    with pytest.raises(ConfigError, match='"/llm" has a gateway behind this one'):
        LLMMiddleware(between(inner), gateway if same else Gateway(OPEN), prefix="/llm")


def test_what_both_can_answer_is_not() -> None:
    gateway = Gateway(OPEN)
    inner = LLMMiddleware(site, gateway, prefix="/llm")
    LLMMiddleware(inner, gateway, prefix="/other")
    LLMMiddleware(inner, Gateway(OPEN), prefix="/llm", shared=True)


def test_a_prefix_below_another_is_refused() -> None:
    inner = LLMMiddleware(site, Gateway(OPEN), prefix="/llm/inner")
    with pytest.raises(ConfigError, match='"/llm/inner" has a gateway behind'):
        LLMMiddleware(inner, Gateway(OPEN), prefix="/llm")
    LLMMiddleware(LLMMiddleware(site, Gateway(OPEN), prefix="/llmfoo"), Gateway(OPEN), prefix="/llm")
