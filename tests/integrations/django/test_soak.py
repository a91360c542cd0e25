"""The core's soak with the ledger in the project's database. ``ASGI_LLM_SOAK=20000`` makes it long."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from suites import suite


async def test_the_ledger_and_the_upstreams_agree(database: str) -> None:
    count = int(os.environ.get("ASGI_LLM_SOAK", "500"))
    books = await suite("soak/run.py").soak(count, "django")
    assert books.unsaid > count // 100
