"""Settings for all tests. Fixtures live beside the tests that need them."""

import os

from hypothesis import settings

# Time limits on single examples say more about the machine than about the code. CI repeats itself, a laptop explores.
settings.register_profile("asgi-llm", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("asgi-llm")
