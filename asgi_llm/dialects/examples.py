"""Examples of a tool's arguments, for upstreams that have no field for them."""

from asgi_llm.neutral.request import FunctionTool

__all__ = ["description_of"]


def description_of(tool: FunctionTool) -> str | None:
    """The tool's description; its examples, if it has any, stand at the end."""
    if tool.examples is None:
        return tool.description
    return f"{tool.description or ''}\n\nExamples of arguments: {bytes(tool.examples).decode()}".lstrip()
