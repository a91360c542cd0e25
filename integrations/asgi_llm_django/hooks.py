"""Hooks of the project: what ``ASGI_LLM["hooks"]`` names."""

from collections.abc import Sequence
from typing import Any

from django.utils.module_loading import import_string

from asgi_llm import ConfigError, Problem
from asgi_llm.hooks import Hook

__all__ = ["load_hooks"]


def load_hooks(named: Sequence[Any]) -> list[Hook]:
    """Each is a hook, a class of hooks, or the dotted path of one of both.

    Raises:
        ConfigError: with every one that is none.
    """
    if isinstance(named, str):
        raise ConfigError([Problem("hooks", "must be a list")])
    hooks: list[Hook] = []
    problems: list[Problem] = []
    for position, item in enumerate(named):
        try:
            hooks.append(_hook(item))
        except (ImportError, TypeError) as error:
            problems.append(Problem(f"hooks[{position}]", str(error)))
    if problems:
        raise ConfigError(problems)
    return hooks


def _hook(item: Any) -> Hook:
    found = import_string(item) if isinstance(item, str) else item
    made = found() if isinstance(found, type) else found
    if not isinstance(made, Hook):
        raise TypeError(f"{item!r} is no asgi_llm.hooks.Hook")
    return made
