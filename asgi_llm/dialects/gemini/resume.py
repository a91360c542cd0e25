"""Going on with an answer that paused (``CONTINUATION``): the same request once more, with the token that came with it.

Spec: Gemini API, "GenerateContentResponse", ``continuationToken``.
"""

import msgspec
from msgspec import Raw

from asgi_llm.neutral.request import Part
from asgi_llm.neutral.response import Finish

__all__ = ["resume"]

_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def resume(body: bytes, _said: tuple[Part, ...], finish: Finish) -> bytes | None:
    """``body`` with the token; None where none came."""
    if finish.token is None:
        return None
    return msgspec.json.encode({**_FIELDS.decode(body), "continuationToken": finish.token})
