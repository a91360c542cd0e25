"""``python -m asgi_llm``."""

import sys

from asgi_llm.cli import main

sys.exit(main())
