"""asgi-llm as it is measured: one target, key authentication, everything else as it comes. Served by uvicorn."""

import os

from asgi_llm import Gateway

gateway = Gateway(
    {
        "targets": {
            "up": {
                "provider": "openai_compatible",
                "base_url": os.environ["BENCH_UPSTREAM"],
                "api_key": "sk-upstream",
                "dialects": ["chat"],
                "pool": {"max_connections": 4096},  # 1000 open streams must not queue for a connection
            }
        },
        "auth": {"keys": [{"key": os.environ["BENCH_KEY"], "subject": "bench"}]},
    }
)
app = gateway.asgi
