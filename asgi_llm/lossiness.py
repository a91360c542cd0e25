"""The table of what translation loses, from the declarations that the encoders act on.

python -m asgi_llm.lossiness > docs/lossiness.md
"""

import sys
from collections.abc import Mapping

from asgi_llm.dialects.interface import Loss
from asgi_llm.dialects.registry import DIALECTS

__all__ = ["page"]

_NAMES = {"chat": "Chat Completions", "messages": "Messages", "responses": "Responses", "gemini": "Gemini"}

_HEAD = """# What translation loses

When caller and upstream speak the same dialect, nothing is lost: the bytes pass as they are. When they do not, some
things cannot be said on the other side. Each is declared once, in the `losses.py` of the dialect that cannot say it;
the code acts on the declaration, and this page is made from it (`python -m asgi_llm.lossiness`).

| what happens | means |
|---|---|
| refuse | the request is answered with a 400 that names the field |
| emulate | the effect is built from other features, and named in the `x-llm-warnings` header |
| warn | it is left out, and named in the `x-llm-warnings` header |
| drop | it is left out; nothing that could be observed is lost |
"""

_ORDER = ("refuse", "emulate", "warn", "drop")


def page() -> str:
    """The Markdown page."""
    sections = (_section(f"Towards {_NAMES[name]}", dialect.losses) for name, dialect in DIALECTS.items())
    return "\n".join([_HEAD, *sections])


def _section(title: str, losses: Mapping[str, Loss]) -> str:
    rows = sorted(losses.values(), key=lambda loss: (_ORDER.index(loss.action), loss.field))
    lines = [f"| `{loss.field}` | {loss.action} | {loss.note} |" for loss in rows]
    return "\n".join([f"## {title}\n", "| field | what happens | |", "|---|---|---|", *lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
