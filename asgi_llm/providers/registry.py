"""All providers by the name they have in the settings."""

from .anthropic import ANTHROPIC
from .azure import AZURE
from .deepseek import DEEPSEEK
from .echo import ECHO
from .gemini import GEMINI
from .gemini_chat import GEMINI_CHAT
from .glm import GLM
from .groq import GROQ
from .kimi import KIMI
from .llama_cpp import LLAMA_CPP
from .minimax import MINIMAX
from .mistral import MISTRAL
from .ollama import OLLAMA
from .openai import OPENAI
from .openai_compatible import OPENAI_COMPATIBLE
from .openrouter import OPENROUTER
from .provider import Provider
from .qwen import QWEN
from .sglang import SGLANG
from .vllm import VLLM
from .xai import XAI

__all__ = ["PROVIDERS"]

_ALL = (
    OPENAI,
    ANTHROPIC,
    AZURE,
    GEMINI,
    GEMINI_CHAT,
    MISTRAL,
    XAI,
    DEEPSEEK,
    KIMI,
    MINIMAX,
    GLM,
    QWEN,
    GROQ,
    OPENROUTER,
    VLLM,
    SGLANG,
    OLLAMA,
    LLAMA_CPP,
    OPENAI_COMPATIBLE,
    ECHO,
)

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in _ALL}
