"""The wish for reasoning -> the fields by which a chat server is told.

``reasoning_effort`` is the API's own (OpenAI API reference, "Create chat completion"). Others turn thinking on and off:
``thinking`` (DeepSeek, Z.ai, Moonshot, MiniMax), ``enable_thinking`` with ``thinking_budget`` (Alibaba Cloud Model
Studio), or one object for all of it, ``reasoning`` (OpenRouter).
"""

from typing import Any

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.neutral.request import ReasoningConfig

__all__ = ["effort_of", "switch_off", "wants_thoughts", "write_reasoning"]

_BUDGETS = ((2048, "low"), (12000, "medium"), (28000, "high"))
"""Thinking budgets in tokens, exclusive upper ends, and the effort that stands for them; above all of them xhigh."""
_RANKS = {"none": 0, "minimal": 1, "low": 2, "medium": 3, "default": 3, "high": 4, "xhigh": 5, "max": 6}


def effort_of(config: ReasoningConfig) -> str | None:
    """The effort that was asked for, by its name or by a budget; None where the model is to decide."""
    if config.effort is not None:
        return config.effort
    if config.budget is None or config.budget < 0:
        return None
    if config.budget == 0:
        return "none"
    return next((effort for limit, effort in _BUDGETS if config.budget < limit), "xhigh")


def wants_thoughts(config: ReasoningConfig | None) -> bool:
    """Whether the caller asked for thoughts."""
    if config is None:
        return False
    effort = effort_of(config)
    return effort != "none" if effort is not None else bool(config.adaptive or config.budget)


def write_reasoning(body: dict[str, Any], config: ReasoningConfig, profile: Profile, report: Report) -> None:
    effort = effort_of(config)
    match profile.thinking_switch:
        case "reasoning":
            _write_object(body, config, effort, profile, report)
            return
        case "thinking" | "enable_thinking" as switch:
            if effort == "none":
                switch_off(body, profile)
                return
            if wants_thoughts(config):
                body[switch] = {"type": profile.thinking_on} if switch == "thinking" else True
            if switch == "enable_thinking" and config.effort is None and effort is not None:
                body["thinking_budget"] = config.budget
                return
    if effort is None:
        return
    if profile.reasoning_effort:
        body["reasoning_effort"] = _nearest(effort, profile, report)
    else:
        report.lose("reasoning_effort")


def switch_off(body: dict[str, Any], profile: Profile) -> bool:
    """Turns thinking off by the profile's switch; whether there is one."""
    match profile.thinking_switch:
        case "thinking":
            body["thinking"] = {"type": "disabled"}
        case "enable_thinking":
            body["enable_thinking"] = False
        case _:
            return False
    return True


def _write_object(
    body: dict[str, Any], config: ReasoningConfig, effort: str | None, profile: Profile, report: Report
) -> None:
    said: dict[str, Any] = {}
    if config.effort is None and config.budget is not None and config.budget > 0:
        said["max_tokens"] = config.budget
    elif effort is not None:
        said["effort"] = _nearest(effort, profile, report)
    elif wants_thoughts(config):
        said["enabled"] = True
    if config.visible is False:
        said["exclude"] = True
    if said:
        body["reasoning"] = said


def _nearest(effort: str, profile: Profile, report: Report) -> str:
    """The effort itself where the upstream knows it, else the next higher one, else its highest."""
    known = profile.efforts
    # A word nobody here knows may be the upstream's own.
    if effort in known or effort not in _RANKS:
        return effort
    if effort == "max":
        report.lose("reasoning_effort.max")
    else:
        report.lose("reasoning_effort.level")
    wished = _RANKS[effort]
    return min(known, key=lambda name: (_RANKS[name] < wished, abs(_RANKS[name] - wished)))
