"""Models for the project's own views, and settings that change while it runs."""

import asyncio
from typing import Any

import openai
import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import AsyncRequestFactory, RequestFactory, override_settings

from asgi_llm import ConfigError
from asgi_llm_django import allm_client, get_gateway, llm_client, reload

HELLO: Any = [{"role": "user", "content": "Hello there"}]


class User:
    is_authenticated = True
    pk = 7


def test_for_the_user_of_a_view(settled: list[Any]) -> None:
    request = RequestFactory().get("/")
    request.user = User()
    with openai.OpenAI(http_client=llm_client(request), api_key="none") as client:
        answer = client.chat.completions.create(model="echo", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there"
    request.user = AnonymousUser()
    with pytest.raises(PermissionDenied):
        llm_client(request)


async def test_for_the_user_of_an_async_view(settled: list[Any]) -> None:
    async def auser() -> Any:
        return User()

    request = AsyncRequestFactory().get("/")
    request.auser = auser
    async with (
        get_gateway().running(),
        openai.AsyncOpenAI(http_client=await allm_client(request), api_key="none") as client,
    ):
        answer = await client.chat.completions.create(model="echo", messages=HELLO)
        assert answer.choices[0].message.content == "Hello there"
        while not settled:
            await asyncio.sleep(0.01)
    assert settled[-1].identity.subject == "7"


def test_settings_that_change_while_it_runs() -> None:
    gateway = get_gateway()
    before = settings.ASGI_LLM
    try:
        settings.ASGI_LLM = {**before, "targets": {"other": {"provider": "echo"}}}
        reload()
        assert get_gateway() is gateway
        assert list(gateway.settings.targets) == ["other"]
        settings.ASGI_LLM = {"targets": {"other": {"provider": "nobody"}}}
        with pytest.raises(ConfigError, match=r"ASGI_LLM\.targets\.other\.provider"):
            reload()
        settings.ASGI_LLM = {**before, "hooks": ["asgi_llm.hooks.Hook"]}
        with pytest.raises(ConfigError, match=r"ASGI_LLM\.hooks"):
            reload()
        assert list(get_gateway().settings.targets) == ["other"]
    finally:
        settings.ASGI_LLM = before
        reload()


def test_tests_that_change_settings_get_a_gateway_of_their_own() -> None:
    before = get_gateway()
    with override_settings(ASGI_LLM={"targets": {"other": {"provider": "echo"}}}):
        assert list(get_gateway().settings.targets) == ["other"]
    assert list(get_gateway().settings.targets) == list(before.settings.targets)
