"""Web searches that another provider ran, as blocks of this API, and how to know them again.

The API demands back what only it could have written (``encrypted_content``, ``encrypted_index``). What stands there
instead is marked as the gateway's own, and so are the ids: such blocks are told to callers and never sent to an
upstream. Spec: Anthropic Messages API, "Web search tool".
"""

import re
from collections.abc import Callable
from typing import Any

from asgi_llm.dialects.searched import Searched, searched
from asgi_llm.neutral.request import ServerCall

from .signatures import seal

__all__ = ["FOREIGN_ID", "PLACEHOLDER", "foreign_search", "is_foreign_id", "result_block", "use_block"]

FOREIGN_ID = "srvtoolu_ws_"
"""What the id of such a search begins with; the rest of it is the other provider's after its ``ws_``."""
PLACEHOLDER = seal(())
"""In the place of what only Anthropic could have written."""
_LEGAL = re.compile(r"ws_[A-Za-z0-9_]{1,100}")


def is_foreign_id(value: str | None) -> bool:
    """Whether the block with this id tells of another provider's search."""
    return value is not None and value.startswith(FOREIGN_ID)


def foreign_search(call: ServerCall, mint: Callable[[str], str]) -> tuple[str, Searched] | None:
    """The search with its id here; None for any other call, and for those of this API itself."""
    if call.dialect == "messages" or (found := searched(call, call.arguments)) is None:
        return None
    known = call.id or ""
    return (f"srvtoolu_{known}" if _LEGAL.fullmatch(known) else mint(FOREIGN_ID)), found


def use_block(use_id: str, given: dict[str, Any]) -> dict[str, Any]:
    """What was asked."""
    return {"type": "server_tool_use", "id": use_id, "name": "web_search", "input": given}


def result_block(use_id: str, found: Searched) -> dict[str, Any]:
    """What was found."""
    content: Any = [
        {
            "type": "web_search_result",
            "url": page.url,
            "title": page.title or page.url,
            "encrypted_content": PLACEHOLDER,
            "page_age": None,
        }
        for page in found.pages
    ]
    if found.failed:
        content = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    return {"type": "web_search_tool_result", "tool_use_id": use_id, "content": content}
