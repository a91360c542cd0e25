"""asgi-llm in a Litestar application.

from asgi_llm_litestar import LLMPlugin, LLMPluginConfig

app = Litestar(plugins=[LLMPlugin(LLMPluginConfig(settings="llm.toml"))])
"""

try:
    import litestar as _litestar  # asked for first, so that its absence is told in one sentence
except ImportError as error:
    raise ImportError('asgi_llm_litestar needs Litestar: pip install "asgi-llm[litestar]"') from error

if (_litestar.__version__.major, _litestar.__version__.minor) < (2, 19):
    raise ImportError(f"asgi_llm_litestar needs Litestar 2.19 or newer; this is {_litestar.__version__.formatted()}")

from .config import LLMPluginConfig
from .plugin import LLMPlugin

__all__ = ["LLMPlugin", "LLMPluginConfig"]
