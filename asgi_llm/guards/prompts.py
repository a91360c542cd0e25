"""Guards on what is asked: words around every conversation, and how much one may hold."""

from datetime import UTC, datetime

from msgspec import structs

from asgi_llm.hooks import Ask
from asgi_llm.neutral.request import Instruction, Text
from asgi_llm.settings import LimitGuardSettings, TemplateGuardSettings

from .guard import Guard
from .texts import texts_of

__all__ = ["LimitGuard", "TemplateGuard"]


class TemplateGuard(Guard):
    """See ``TemplateGuardSettings``."""

    def __init__(self, settings: TemplateGuardSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    async def on_request(self, ask: Ask) -> Ask | None:
        request, settings = ask.request, self._settings
        if request is None or not self.concerns(ask):
            return None
        instructions, turns = request.instructions, request.turns
        if settings.replace:
            instructions = ()
            turns = tuple(turn for turn in turns if turn.role not in ("system", "developer"))
        before = (_instruction(settings.prefix, ask),) if settings.prefix else ()
        after = (_instruction(settings.suffix, ask),) if settings.suffix else ()
        told = structs.replace(request, instructions=(*before, *instructions, *after), turns=turns)
        return ask.change(request=told)


def _instruction(template: str, ask: Ask) -> Instruction:
    values = {
        "{subject}": ask.identity.subject,
        "{tenant}": ask.identity.tenant,
        "{model}": ask.model,
        "{date}": datetime.now(UTC).date().isoformat(),
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return Instruction((Text(template),))


class LimitGuard(Guard):
    """See ``LimitGuardSettings``."""

    def __init__(self, settings: LimitGuardSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    async def on_request(self, ask: Ask) -> None:
        request, limits = ask.request, self._settings
        if request is None or not self.concerns(ask):
            return
        turns = len(request.instructions) + len(request.turns)
        if limits.max_turns is not None and turns > limits.max_turns:
            raise self.refused(f"the conversation has {turns} messages; {limits.max_turns} are permitted")
        if limits.max_tools is not None and len(request.tools) > limits.max_tools:
            raise self.refused(f"{len(request.tools)} tools are offered; {limits.max_tools} are permitted")
        if limits.max_text is None and limits.max_total is None:
            return
        sizes = [len(text) for text in texts_of(request)]
        if limits.max_text is not None and max(sizes, default=0) > limits.max_text:
            raise self.refused(f"a message has {max(sizes)} characters; {limits.max_text} are permitted")
        if limits.max_total is not None and sum(sizes) > limits.max_total:
            raise self.refused(f"the conversation has {sum(sizes)} characters; {limits.max_total} are permitted")
