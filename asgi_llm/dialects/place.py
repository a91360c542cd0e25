"""Where something stands in a caller's request, in the caller's own words: what an error about it names."""

from asgi_llm.neutral.request import DialectName

__all__ = ["conversation_field", "member", "place"]

_FIELDS: dict[DialectName, str] = {
    "chat": "messages",
    "messages": "messages",
    "responses": "input",
    "gemini": "contents",
}


_MEMBERS: dict[tuple[DialectName, str], str] = {
    ("gemini", "n"): "generationConfig.candidateCount",
    ("gemini", "modalities"): "generationConfig.responseModalities",
}


def member(dialect: DialectName, name: str) -> str:
    """What a knob of the neutral request that an upstream may refuse is called by the caller's dialect."""
    return _MEMBERS.get((dialect, name), name)


def conversation_field(dialect: DialectName) -> str:
    """The member that holds the conversation."""
    return _FIELDS[dialect]


def place(dialect: DialectName, turn: int, part: int | None = None) -> str:
    """Of a turn, or of a ``part`` of one. Messages of Chat Completions and items of Responses are gathered into turns,
    so that nothing more exact than their list can be named."""
    match dialect:
        case "messages":
            return f"messages.{turn}" if part is None else f"messages.{turn}.content.{part}"
        case "gemini":
            return f"contents[{turn}]" if part is None else f"contents[{turn}].parts[{part}]"
        case "responses" | "chat":
            return _FIELDS[dialect]
