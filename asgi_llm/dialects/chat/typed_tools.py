"""Tools that a provider defines and the caller runs (shell, editor), offered as ordinary functions.

The schemas say what the callers' own tool runners take (Anthropic "bash" and "text editor" tools, OpenAI "local
shell", "shell" and "apply patch" tools). Tools that need screenshots back are not here.
"""

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from asgi_llm.neutral.request import FunctionTool, TypedTool

__all__ = ["as_function"]


@dataclass(frozen=True, slots=True)
class _Known:
    prefix: str
    description: str
    schema: Raw


def _known(prefix: str, description: str, properties: dict[str, object], required: list[str]) -> _Known:
    schema = {"type": "object", "properties": properties, "required": required}
    return _Known(prefix, description, Raw(msgspec.json.encode(schema)))


_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_STRINGS = {"type": "array", "items": _STRING}

_TOOLS = (
    _known(
        "bash_",
        "Run a command in a persistent bash session. Set restart to true to start the session anew.",
        {"command": _STRING, "restart": {"type": "boolean"}},
        [],
    ),
    _known(
        "text_editor_",
        "View, create and edit text files.",
        {
            "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
            "path": _STRING,
            "view_range": {"type": "array", "items": _INTEGER},
            "file_text": _STRING,
            "old_str": _STRING,
            "new_str": _STRING,
            "insert_line": _INTEGER,
            "insert_text": _STRING,
        },
        ["command", "path"],
    ),
    _known(
        "memory_",
        "Read and change files in the memory directory /memories.",
        {
            "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
            "path": _STRING,
            "view_range": {"type": "array", "items": _INTEGER},
            "file_text": _STRING,
            "old_str": _STRING,
            "new_str": _STRING,
            "insert_line": _INTEGER,
            "insert_text": _STRING,
            "old_path": _STRING,
            "new_path": _STRING,
        },
        ["command"],
    ),
    _known(
        "local_shell",
        "Run a program on the user's machine.",
        {
            "command": _STRINGS,
            "working_directory": _STRING,
            "timeout_ms": _INTEGER,
            "env": {"type": "object", "additionalProperties": _STRING},
        },
        ["command"],
    ),
    _known(
        "shell",
        "Run shell commands.",
        {"commands": _STRINGS, "timeout_ms": _INTEGER, "max_output_length": _INTEGER},
        ["commands"],
    ),
    _known(
        "apply_patch",
        "Create, update or delete one file. The diff is in V4A format.",
        {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": _STRING,
            "diff": _STRING,
        },
        ["type", "path"],
    ),
)


def as_function(tool: TypedTool) -> FunctionTool | None:
    """The function that stands for the tool, or None where none can."""
    for known in _TOOLS:
        if tool.kind.startswith(known.prefix):
            return FunctionTool(tool.name, known.description, known.schema)
    return None
