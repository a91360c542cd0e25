"""From the settings to guards."""

from collections.abc import Sequence
from typing import assert_never

from asgi_llm.errors import ConfigError, Problem
from asgi_llm.hooks import Hook
from asgi_llm.settings import (
    ClassifierGuardSettings,
    GuardSettings,
    LimitGuardSettings,
    PatternGuardSettings,
    PersonalGuardSettings,
    TemplateGuardSettings,
)

from .classifier import Judge, classifier_guard
from .patterns import pattern_finder, text_guard
from .personal import installed, personal_finder
from .prompts import LimitGuard, TemplateGuard

__all__ = ["compile_guards"]


def compile_guards(settings: Sequence[GuardSettings], judge: Judge) -> tuple[Hook, ...]:
    """
    Raises:
        ConfigError: a library is needed that is not installed.
    """
    problems = [
        Problem(f"guards[{position}].kind", 'personal_data needs an extra: pip install "asgi-llm[pii]"')
        for position, guard in enumerate(settings)
        if guard.kind == "personal_data" and not installed()
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(_guard(guard, judge) for guard in settings)


def _guard(settings: GuardSettings, judge: Judge) -> Hook:
    match settings:
        case PatternGuardSettings():
            return text_guard(settings, pattern_finder(settings.rules))
        case PersonalGuardSettings():
            return text_guard(settings, personal_finder(settings))
        case TemplateGuardSettings():
            return TemplateGuard(settings)
        case LimitGuardSettings():
            return LimitGuard(settings)
        case ClassifierGuardSettings():
            return classifier_guard(settings, judge)
    assert_never(settings)
