"""asgi-llm in a Litestar application.

from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

app = Litestar(plugins=[LLMPlugin(LLMPluginConfig(settings="llm.toml"))])
"""

try:
    import litestar as _litestar  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ImportError as error:
    raise ImportError('asgi_llm_litestar needs Litestar: pip install "asgi-llm[litestar]"') from error

from .config import LLMPluginConfig
from .plugin import LLMPlugin

__all__ = ["LLMPlugin", "LLMPluginConfig"]
