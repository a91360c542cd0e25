"""The wish for structured output -> ``response_format`` (OpenAI API reference, "Structured model outputs").

Where an upstream lacks a kind of format, the nearest one is taken and the rest is said in words.
"""

from typing import Any

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.dialects.root_schema import in_words, may_be_object
from asgi_llm.neutral.request import OutputFormat

from .names import wire_name

__all__ = ["write_format"]

_JSON = "Answer with one valid JSON object and nothing else."


def write_format(output: OutputFormat, profile: Profile, report: Report) -> tuple[dict[str, Any] | None, str | None]:
    """The ``response_format``, and the sentence that the instructions need beside it; each may be None."""
    if output.kind == "text":
        return None, None
    of_object = may_be_object(output.schema)
    if output.kind == "schema" and profile.json_schema and (of_object or not profile.origin):
        return _schema(output), None
    sentence: str | None = None
    if output.kind == "schema":
        report.lose("output.schema")
        sentence = _JSON if output.schema is None else in_words(output.schema)
        if not of_object:
            return None, sentence
    elif not profile.json_object:
        report.lose("output.json")
        sentence = _JSON
    return ({"type": "json_object"} if profile.json_object else None), sentence


def _schema(output: OutputFormat) -> dict[str, Any]:
    schema: dict[str, Any] = {"name": wire_name(output.name or "response")}
    for name in ("description", "schema", "strict"):
        if (value := getattr(output, name)) is not None:
            schema[name] = value
    return {"type": "json_schema", "json_schema": schema}
