"""Asks a model of the gateway's own whether a text is harmful: by the endpoint for that, or in a chat."""

import re
from collections.abc import Callable

import msgspec
from msgspec import Struct

from asgi_llm.errors import Cause, UpstreamError
from asgi_llm.hooks import Ask
from asgi_llm.identity import Identity
from asgi_llm.settings import ClassifierGuardSettings

from .call import Door
from .chat import ask as chat

__all__ = ["judge"]


class _Result(Struct):
    flagged: bool


class _Moderation(Struct):
    results: list[_Result]


_moderation = msgspec.json.Decoder(_Moderation)


async def judge(
    open_door: Callable[[Identity, str], Door], settings: ClassifierGuardSettings, ask: Ask, text: str
) -> bool:
    """Whether it objects.

    Raises:
        AsgiLLMError: it did not answer, or with something else.
    """
    # Paid for by the tenant, and not by the user, who did not ask for it.
    identity = Identity(subject=f"guard:{settings.name}", tenant=ask.identity.tenant, source="application")
    door = open_door(identity, settings.target)
    if settings.protocol == "moderations":
        return await _flagged(door, settings.model, text)
    messages = [{"role": "system", "content": settings.instructions}, {"role": "user", "content": text}]
    reply = await chat(door, settings.model, messages, {})
    return re.search(settings.blocks, reply.text) is not None


async def _flagged(door: Door, model: str, text: str) -> bool:
    body = msgspec.json.encode({"model": model, "input": text})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    bridge = await door.call("POST", "/v1/moderations", headers, body)
    try:
        pieces = []
        while data := await bridge.take():
            pieces.append(data)
        status, _ = bridge.head.result()
        if status != 200:
            raise UpstreamError("the classifier did not answer", cause=Cause.STATUS, upstream_status=status)
        results = _moderation.decode(b"".join(pieces)).results
    except msgspec.MsgspecError as error:
        raise UpstreamError("the classifier answered with something else", cause=Cause.CONTENT) from error
    finally:
        bridge.leave()
    return any(result.flagged for result in results)
