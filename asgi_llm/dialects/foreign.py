"""What a request holds that only its caller's dialect knows, by name: on its way elsewhere each of them gets lost."""

import msgspec
from msgspec import Raw, Struct

from asgi_llm.errors import TranslationError
from asgi_llm.neutral.request import DialectName, Request

__all__ = ["foreign_fields"]

_UNOBSERVED = frozenset({"client_metadata", "include"})
"""Agents send them always, and nobody can observe their loss."""
_ESSENTIAL = {"prompt": "A stored prompt is known only to the provider that keeps it; send what it says."}
"""What a request means nothing without."""
_DEFAULTS = {"truncation": b'"disabled"'}
_OBJECTS = frozenset({"generationConfig", "output_config", "toolConfig"})
"""Known objects, of which the neutral request keeps what it did not understand."""

_object = msgspec.json.Decoder(dict[str, Raw])


class _Reasoning(Struct):
    """What of a dialect's wish for thoughts has no neutral word. Defaults stand for what need not be named."""

    type: object = None
    context: object = "auto"
    mode: object = "standard"


_reasoning = msgspec.json.Decoder(_Reasoning)


def foreign_fields(request: Request, dialect: DialectName) -> list[str]:
    """The fields that are left out when the request is written in ``dialect``; of its own dialect's none are.

    Raises:
        TranslationError: the request would be another one without such a field.
    """
    if request.dialect == dialect:
        return []
    names: list[str] = []
    for name, raw in request.ext.items():
        if name in _ESSENTIAL:
            raise TranslationError(_ESSENTIAL[name], param=name)
        if name in _OBJECTS:
            names += [f"{name}.{key}" for key in _object.decode(raw)]
        elif name not in _UNOBSERVED and bytes(raw) != _DEFAULTS.get(name):
            names.append(name)
    if request.reasoning is not None and request.reasoning.raw is not None:
        names += _of_reasoning(request.dialect, request.reasoning.raw)
    return names


def _of_reasoning(dialect: DialectName, raw: Raw) -> list[str]:
    said = _reasoning.decode(raw)
    if dialect == "messages":
        return ["thinking.type"] if said.type == "between_tools" else []
    if dialect != "responses":
        return []
    names = ["reasoning.context"] if said.context not in (None, "auto") else []
    return names if said.mode in (None, "standard") else [*names, "reasoning.mode"]
