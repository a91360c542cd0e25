"""Files that an upstream keeps, named inside a conversation by the ids that callers were given.

Where the settings say so. What names a file becomes the upstream's own id, and only the target that has the file is
asked. The ids themselves are made and read in ``routing.pins``.
"""

import re

import msgspec
from msgspec import structs

from asgi_llm.dialects.spans import Edits
from asgi_llm.errors import ClientError, Kind
from asgi_llm.exchange import Exchange
from asgi_llm.runtime import Runtime

__all__ = ["use_kept_files"]

_NAME = b'"file_id"'
# A quote behind a backslash stands inside a text, where nothing is named.
_NAMED = re.compile(rb'(?<!\\)"file_id"\s*:\s*"([A-Za-z]{1,16}-llm-[A-Za-z0-9_-]{1,1400})"')


def use_kept_files(runtime: Runtime, exchange: Exchange) -> None:
    """Changes body and plan.

    Raises:
        ClientError: a file is not known, or no target that the model leads to has all of them.
    """
    body = exchange.body
    if _NAME not in body or exchange.forward is not None or exchange.plan is None:
        return
    edits, targets = Edits(body), set()
    for found in _NAMED.finditer(body):
        given = found[1].decode("ascii")
        pin = runtime.blueprint.pins.read(given, exchange.identity.tenant)
        if pin is None:
            said = f'there is no "{given[:100]}" here'
            raise ClientError(said, code="not_found", param="file_id", kind=Kind.NOT_FOUND)
        edits.replace(*found.span(1), msgspec.json.encode(pin.id)[1:-1])
        targets.add(pin.target)
    if not targets:
        return
    legs = tuple(leg for leg in exchange.plan.legs if {leg.crew.target.name} == targets)
    if not legs:
        raise ClientError("the files are not where this model is", code="file_elsewhere", param="file_id")
    exchange.body = edits.apply()
    exchange.plan = structs.replace(exchange.plan, legs=legs)
