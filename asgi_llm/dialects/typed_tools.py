"""Tools that a provider defines and the caller runs (shell, editor), told to an upstream of another as functions.

The schemas say what the callers' own tool runners take (Anthropic "bash", "text editor" and "memory" tools; OpenAI
"local shell", "shell" and "apply patch" tools). Tools that need screenshots back are not here.
"""

from msgspec import Raw

__all__ = ["typed_tool"]

_PATCH = Raw(
    b'{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},'
    b'"path":{"type":"string"},"diff":{"type":"string"}},"required":["type","path"]}'
)
_LOCAL_SHELL = Raw(
    b'{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"}},'
    b'"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"},'
    b'"env":{"type":"object","additionalProperties":{"type":"string"}}},"required":["command"]}'
)
_SHELL = Raw(
    b'{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"}},'
    b'"timeout_ms":{"type":"integer"},"max_output_length":{"type":"integer"}},"required":["commands"]}'
)
_BASH = Raw(b'{"type":"object","properties":{"command":{"type":"string"},"restart":{"type":"boolean"}}}')
_EDITOR = Raw(
    b'{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},'
    b'"path":{"type":"string"},"file_text":{"type":"string"},"old_str":{"type":"string"},'
    b'"new_str":{"type":"string"},"insert_line":{"type":"integer"},"insert_text":{"type":"string"},'
    b'"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command","path"]}'
)
_MEMORY = Raw(
    b'{"type":"object","properties":{"command":{"type":"string",'
    b'"enum":["view","create","str_replace","insert","delete","rename"]},"path":{"type":"string"},'
    b'"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},'
    b'"insert_line":{"type":"integer"},"insert_text":{"type":"string"},"old_path":{"type":"string"},'
    b'"new_path":{"type":"string"},"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command"]}'
)
_TYPED: tuple[tuple[str, str, Raw], ...] = (
    ("apply_patch", "Create, update or delete one file. The diff is in V4A format.", _PATCH),
    ("local_shell", "Run a program on the user's machine.", _LOCAL_SHELL),
    ("shell", "Run shell commands.", _SHELL),
    ("bash", "Run a command in a persistent bash session. Set restart to true to start it anew.", _BASH),
    ("text_editor", "View, create and edit text files.", _EDITOR),
    ("memory", "Read and change files in the directory /memories, which outlives the conversation.", _MEMORY),
)
"""What to tell of each, by its kind without the date of a version."""


def typed_tool(kind: str) -> tuple[str, Raw] | None:
    """Description and schema of the tool of that kind; None where it cannot be told as a function."""
    for family, about, schema in _TYPED:
        if kind == family or kind.startswith(f"{family}_"):
            return about, schema
    return None
