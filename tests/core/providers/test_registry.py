"""What every provider must offer, and how each completes an address."""

from typing import get_args

import pytest

from asgi_llm.dialects.registry import DIALECTS
from asgi_llm.providers.provider import Provider
from asgi_llm.providers.registry import PROVIDERS
from asgi_llm.settings import ProviderName

ALL = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS.keys())


def test_the_names_are_those_of_the_settings() -> None:
    assert sorted(PROVIDERS) == sorted(get_args(ProviderName))


@ALL
def test_it_has_a_path_and_a_codec_for_every_dialect_it_speaks(provider: Provider) -> None:
    assert provider.dialects
    assert set(provider.dialects) <= provider.paths.keys() <= DIALECTS.keys()
    assert all(path.startswith(b"/") for path in provider.paths.values())


@ALL
def test_a_key_becomes_at_most_one_header_that_never_passes_from_a_caller(provider: Provider) -> None:
    expected = {
        "anthropic": [(b"x-api-key", b"k")],
        "azure": [(b"api-key", b"k")],
        "echo": [],
        "gemini": [(b"x-goog-api-key", b"k")],
    }
    assert provider.credentials("k") == expected.get(provider.name, [(b"authorization", b"Bearer k")])


@ALL
def test_losses_are_told_under_its_own_name(provider: Provider) -> None:
    assert provider.profile.provider == provider.name


@pytest.mark.parametrize(
    ("provider", "url", "rebased"),
    [
        ("openai", "https://proxy.example", "https://proxy.example/v1"),
        ("openai", "https://proxy.example/openai/v1", "https://proxy.example/openai/v1"),
        ("vllm", "http://10.0.0.1:8000", "http://10.0.0.1:8000/v1"),
        ("sglang", "http://10.0.0.1:8000/v1", "http://10.0.0.1:8000/v1"),
        ("openai_compatible", "http://host/api/paas/v4", "http://host/api/paas/v4"),
        ("anthropic", "https://proxy.example", "https://proxy.example/v1"),
        ("anthropic", "https://proxy.example/anthropic", "https://proxy.example/anthropic/v1"),
        ("anthropic", "https://proxy.example/v1", "https://proxy.example/v1"),
        ("azure", "https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1"),
        ("azure", "https://r.openai.azure.com/openai", "https://r.openai.azure.com/openai/v1"),
        ("azure", "https://r.openai.azure.com/openai/v1", "https://r.openai.azure.com/openai/v1"),
        ("azure", "https://r.openai.azure.com/openai/deployments/gpt", "https://r.openai.azure.com/openai/v1"),
        ("ollama", "http://10.0.0.1:11434", "http://10.0.0.1:11434/v1"),
        ("deepseek", "https://api.deepseek.com/v1", "https://api.deepseek.com"),
        ("deepseek", "https://api.deepseek.com/anthropic", "https://api.deepseek.com"),
        ("kimi", "https://api.moonshot.cn/v1", "https://api.moonshot.cn"),
        ("minimax", "https://api.minimaxi.com/anthropic/v1", "https://api.minimaxi.com"),
        ("glm", "https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api"),
        ("glm", "https://api.z.ai/api/coding/paas/v4", "https://api.z.ai/api/coding"),
        ("qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1", "https://dashscope.aliyuncs.com"),
        ("qwen", "https://dashscope.aliyuncs.com/apps/anthropic", "https://dashscope.aliyuncs.com"),
        (
            "qwen",
            "https://dashscope.aliyuncs.com/api/v2/apps/protocols/compatible-mode/v1",
            "https://dashscope.aliyuncs.com",
        ),
    ],
)
def test_an_address_is_completed_the_way_the_providers_sdk_does(provider: str, url: str, rebased: str) -> None:
    assert PROVIDERS[provider].rebase(url) == rebased


@ALL
def test_its_own_address_needs_no_completion(provider: Provider) -> None:
    if provider.base_url is not None:
        assert provider.rebase(provider.base_url) == provider.base_url


def test_only_the_echo_runs_in_process() -> None:
    assert [name for name, provider in PROVIDERS.items() if provider.embedded] == ["echo"]
