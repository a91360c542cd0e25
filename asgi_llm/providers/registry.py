"""All providers by the name they have in the settings."""

from .anthropic import ANTHROPIC
from .echo import ECHO
from .gemini import GEMINI
from .openai import OPENAI
from .openai_compatible import OPENAI_COMPATIBLE
from .provider import Provider
from .sglang import SGLANG
from .vllm import VLLM

__all__ = ["PROVIDERS"]

PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (ANTHROPIC, ECHO, GEMINI, OPENAI, OPENAI_COMPATIBLE, SGLANG, VLLM)
}
