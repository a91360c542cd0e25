"""What a schema of an answer describes at its root. OpenAI takes objects only ("Structured model outputs",
"Supported schemas"), Google's clients ask for lists and enums as well."""

import msgspec
from msgspec import Raw, Struct

__all__ = ["in_words", "may_be_object"]


class _Root(Struct):
    type: object = None
    any_of: object = msgspec.field(default=None, name="anyOf")
    one_of: object = msgspec.field(default=None, name="oneOf")


_root = msgspec.json.Decoder(_Root)


def may_be_object(schema: Raw | None) -> bool:
    """False where the root is said to be something else than one object, or a choice."""
    if schema is None:
        return True
    try:
        root = _root.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        return True
    if root.type is None:
        return root.any_of is None and root.one_of is None
    return root.type == "object"


def in_words(schema: Raw) -> str:
    """The sentence that asks for such an answer where no field can."""
    return f"Answer with JSON that fits this schema, and nothing else:\n{bytes(schema).decode('utf-8', 'replace')}"
