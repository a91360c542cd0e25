"""asgi-llm in a FastAPI application.

from asgi_llm import Gateway
from asgi_llm_fastapi import llm_router

app.include_router(llm_router(Gateway("llm.toml"), identity=current_user), prefix="/llm")
"""

try:
    import fastapi as _fastapi  # noqa: F401  # asked for first, so that its absence is told in one sentence
except ImportError as error:
    raise ImportError('asgi_llm_fastapi needs FastAPI: pip install "asgi-llm[fastapi]"') from error

from .client import llm_client
from .router import llm_router

__all__ = ["llm_client", "llm_router"]
