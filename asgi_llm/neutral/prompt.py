"""What the user asked for, read out of a conversation.

Agents answer the model's tool calls in turns of the user's role, and put notes of their own into them. Neither is what
anybody asked: the last real prompt stays the prompt through all of a tool loop.
"""

import re

from .request import Request, Text, Turn

__all__ = ["last_prompt"]

_NOTES = re.compile(
    r"\s*<(system-reminder|environment_context|user_instructions|command-name|local-command-stdout)>.*?</\1>\s*",
    re.DOTALL,
)
"""What agents write into a user's turn on their own account."""


def last_prompt(request: Request) -> str:
    """The text of the last turn in which the user said something; empty where there is none."""
    for turn in reversed(request.turns):
        if turn.role == "user" and (said := _said(turn)):
            return said
    return ""


def _said(turn: Turn) -> str:
    texts = [part.text for part in turn.parts if isinstance(part, Text)]
    kept = (_NOTES.sub("", text) if "<" in text else text for text in texts)
    return "\n".join(text for text in kept if text.strip())
