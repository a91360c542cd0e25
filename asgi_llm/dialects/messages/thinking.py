"""The wish for reasoning -> ``thinking``, ``output_config.effort`` and the output limit, by what the model takes.

Spec: Anthropic Messages API, "Extended thinking", "Adaptive thinking", "Effort".
"""

from typing import Any

import msgspec

from asgi_llm.dialects.interface import Profile, Report
from asgi_llm.neutral.request import ReasoningConfig, Request

from .models import Capabilities

__all__ = ["Thinking", "thinking"]

_LEAST_BUDGET = 1024
_ANSWER = 4096
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32000}
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")


class Thinking(msgspec.Struct, frozen=True):
    """The fields as they go out. ``max_tokens`` includes the thoughts."""

    max_tokens: int
    field: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        return self.field is not None and self.field["type"] != "disabled"

    @property
    def budgeted(self) -> bool:
        return self.field is not None and self.field["type"] == "enabled"


class _Kind(msgspec.Struct):
    type: str


def thinking(request: Request, model: Capabilities, profile: Profile, report: Report) -> Thinking:
    """What to ask for. A caller's own output limit is kept; without one it is raised above a thinking budget."""
    asked = request.reasoning
    limit = _limit(request, model, profile, report)
    if asked is None or (asked.effort is None and asked.budget is None and not asked.adaptive):
        return Thinking(limit)
    if asked.effort == "none" or (asked.effort is None and asked.budget == 0):
        return _without(limit, model, report)
    if asked.adaptive is None and asked.raw is None and request.dialect == "messages":
        # The caller set the effort alone; whether this model thinks by itself is not ours to change.
        return Thinking(limit, effort=_effort(asked.effort, model, report))
    if model.adaptive and not _wants_budget(asked, model, request):
        return _adaptive(asked, limit, model, request, report)
    if model.budget:
        return _budgeted(asked, limit, model, request, report)
    report.lose("reasoning")
    return Thinking(limit, effort=_effort(asked.effort, model, report) if model.efforts else None)


def _limit(request: Request, model: Capabilities, profile: Profile, report: Report) -> int:
    asked = request.max_output
    if asked is None:
        return min(profile.default_max_tokens, model.max_output or profile.default_max_tokens)
    if model.max_output is not None and asked > model.max_output:
        report.lose("max_output")
        return model.max_output
    return asked


def _without(limit: int, model: Capabilities, report: Report) -> Thinking:
    if model.disable:
        return Thinking(limit, {"type": "disabled"})
    if not model.adaptive:
        return Thinking(limit)
    report.lose("reasoning")
    return Thinking(limit, effort="low")


def _wants_budget(asked: ReasoningConfig, model: Capabilities, request: Request) -> bool:
    """Whether a budget in tokens was named that the model can be given as it is."""
    forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "tool", "hosted")
    # With a forced tool choice these models take adaptive thinking, but no budget.
    return model.budget and asked.budget is not None and asked.budget > 0 and not forced


def _adaptive(asked: ReasoningConfig, limit: int, model: Capabilities, request: Request, report: Report) -> Thinking:
    field: dict[str, Any] = {"type": "adaptive"}
    if _is_between_tools(asked, request):
        if model.between_tools and asked.effort not in ("xhigh", "max"):
            field = {"type": "between_tools"}
        else:
            report.lose("reasoning")
    if asked.visible is not None and field["type"] == "adaptive":
        field["display"] = "summarized" if asked.visible else "omitted"
    effort = asked.effort
    if effort is None and asked.budget is not None and asked.budget > 0:
        effort = _effort_of(asked.budget)
    return Thinking(limit, field, _effort(effort, model, report))


def _is_between_tools(asked: ReasoningConfig, request: Request) -> bool:
    if request.dialect != "messages" or asked.raw is None:
        return False
    return msgspec.json.decode(asked.raw, type=_Kind).type == "between_tools"


def _budgeted(asked: ReasoningConfig, limit: int, model: Capabilities, request: Request, report: Report) -> Thinking:
    budget = _budget(asked)
    if request.max_output is None:
        ceiling = model.max_output
        wanted = limit + (_BUDGETS["xhigh"] if budget is None else budget)
        limit = wanted if ceiling is None else min(wanted, ceiling)
    if limit <= _LEAST_BUDGET:
        # No thinking fits under so low a limit, and the caller's limit stands.
        report.lose("reasoning")
        return Thinking(limit)
    # A named budget is the caller's; one made from an effort leaves room for the answer.
    most = limit - 1 if asked.budget or budget is None else limit - min(limit // 4, _ANSWER)
    budget = max(_LEAST_BUDGET, most if budget is None else min(budget, most))
    field: dict[str, Any] = {"type": "enabled", "budget_tokens": budget}
    if model.adaptive and asked.visible is not None:
        field["display"] = "summarized" if asked.visible else "omitted"
    return Thinking(limit, field, _effort(asked.effort, model, report) if model.adaptive else None)


def _budget(asked: ReasoningConfig) -> int | None:
    """Tokens to think with; None: as many as fit."""
    if asked.budget is not None and asked.budget > 0:
        return asked.budget
    if asked.effort == "max":
        return None
    return _BUDGETS.get(asked.effort or "medium", _BUDGETS["medium"])


def _effort_of(budget: int) -> str:
    for effort, below in (("low", 2048), ("medium", 12000), ("high", 28000)):
        if budget < below:
            return effort
    return "xhigh"


def _effort(wished: str | None, model: Capabilities, report: Report) -> str | None:
    """The nearest effort that the model knows, not above the one wished."""
    if wished is None:
        return None
    if not model.efforts or wished not in _EFFORTS:
        report.lose("reasoning")
        return None
    lower = [effort for effort in model.efforts if _EFFORTS.index(effort) <= _EFFORTS.index(wished)]
    return lower[-1] if lower else model.efforts[0]
