"""asgi-llm in a FastAPI application.

from asgi_llm import Gateway
from asgi_llm_fastapi import llm_router

app.include_router(llm_router(Gateway("llm.toml"), identity=current_user), prefix="/llm")
"""

try:
    import fastapi as _fastapi  # asked for first, so that its absence is told in one sentence
except ImportError as error:
    raise ImportError('asgi_llm_fastapi needs FastAPI: pip install "asgi-llm[fastapi]"') from error

if tuple(map(int, _fastapi.__version__.split(".")[:2])) < (0, 121):
    raise ImportError(f"asgi_llm_fastapi needs FastAPI 0.121 or newer; this is {_fastapi.__version__}")

from .client import llm_client
from .router import llm_router

__all__ = ["llm_client", "llm_router"]
