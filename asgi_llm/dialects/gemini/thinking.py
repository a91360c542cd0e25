"""The wish for reasoning -> ``thinkingConfig``, by what the model takes: a level or a budget, never both.

Spec: Gemini API, "Thinking".
"""

from typing import Any

from asgi_llm.dialects.interface import Report
from asgi_llm.neutral.request import ReasoningConfig, Request

from .models import Capabilities

__all__ = ["thinking"]

_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}


def thinking(request: Request, model: Capabilities, report: Report) -> dict[str, Any] | None:
    """The field, or None where nothing is to be said."""
    asked = request.reasoning
    if asked is None:
        return None
    if not model.levels and model.budget is None:
        if asked.effort not in (None, "none") or (asked.budget or 0) > 0 or asked.adaptive:
            report.lose("reasoning")
        return None
    if asked.effort == "none" or (asked.effort is None and asked.budget == 0):
        return _without(model, report)
    config = _level(asked, model, report) if model.levels else _budget(asked, model)
    if (visible := _visible(asked, request)) is not None:
        config["includeThoughts"] = visible
    return config or None


def _without(model: Capabilities, report: Report) -> dict[str, Any]:
    if model.levels:
        report.lose("reasoning")
        return {"thinkingLevel": model.levels[0].upper(), "includeThoughts": False}
    least = model.budget[0] if model.budget else 0
    if least:
        report.lose("reasoning")
    return {"thinkingBudget": least}


def _level(asked: ReasoningConfig, model: Capabilities, report: Report) -> dict[str, Any]:
    effort = asked.effort
    if effort is None and asked.budget is not None and asked.budget > 0:
        effort = _effort_of(asked.budget)
    if effort is None:
        return {}
    if effort not in _EFFORTS:
        report.lose("reasoning")
        return {}
    # The highest level that is not above the wish; where all are, the lowest.
    wished = _EFFORTS.index(effort)
    fitting = [level for level in model.levels if _EFFORTS.index(level) <= wished]
    if effort == "medium" and "medium" not in model.levels:
        fitting = list(model.levels)  # between low and high, the API's own default is high
    return {"thinkingLevel": (fitting[-1] if fitting else model.levels[0]).upper()}


def _effort_of(budget: int) -> str:
    if budget < 2048:
        return "low"
    return "medium" if budget < 12000 else "high" if budget < 28000 else "xhigh"


def _budget(asked: ReasoningConfig, model: Capabilities) -> dict[str, Any]:
    least, most = model.budget or (0, 0)
    if asked.budget is not None:
        return {"thinkingBudget": -1 if asked.budget < 0 else min(max(asked.budget, least), most)}
    if asked.effort is not None:
        return {"thinkingBudget": min(max(_BUDGETS.get(asked.effort, most), least), most)}
    return {"thinkingBudget": -1} if asked.adaptive else {}


def _visible(asked: ReasoningConfig, request: Request) -> bool | None:
    """Whether thoughts are to be shown. The Messages API shows them unless it is told otherwise."""
    if asked.visible is not None:
        return asked.visible
    if asked.summary not in (None, "none"):
        return True
    return True if request.dialect == "messages" and (asked.adaptive or (asked.budget or 0) > 0) else None
