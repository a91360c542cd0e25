"""The settings that every host gets: the same as the stand-alone gateway's, below the host's own path."""

import logging
import os

__all__ = ["KEY", "PREFIX", "SETTINGS"]

PREFIX = "/llm"
KEY = os.environ.get("BENCH_KEY", "")
_UPSTREAM = os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:1")
_POOL = {"max_connections": 12_000}

SETTINGS = {
    "targets": {
        "up": {"provider": "openai_compatible", "base_url": f"{_UPSTREAM}/v1", "dialects": ["chat"], "pool": _POOL},
    },
    "auth": {"keys": [{"key": KEY or "sk-none", "subject": "bench"}]},
}

# Nobody else writes an access log either; Litestar would have this one written, since it sets the level of all.
logging.getLogger("asgi_llm.access").setLevel(logging.WARNING)
