"""Guards that ask a model whether something is permitted."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgi_llm.hooks import Ask, Hook
from asgi_llm.neutral.response import Response
from asgi_llm.settings import ClassifierGuardSettings

from .finding import edit_values
from .guard import Guard
from .texts import texts_of, texts_of_answer

__all__ = ["Judge", "classifier_guard"]

Judge = Callable[[ClassifierGuardSettings, Ask, str], Awaitable[bool]]
"""Whether the model that the settings name objects to a text. Raises AsgiLLMError where it does not answer."""


def classifier_guard(settings: ClassifierGuardSettings, judge: Judge) -> Hook:
    if settings.requests and settings.answers:
        return _BothClassifier(settings, judge)
    return (_AnswerClassifier if settings.answers else _RequestClassifier)(settings, judge)


class _Classifier(Guard):
    def __init__(self, settings: ClassifierGuardSettings, judge: Judge) -> None:
        super().__init__(settings)
        self._settings = settings
        self._judge = judge

    async def _check(self, ask: Ask, text: str) -> None:
        if text.strip() and await self._judge(self._settings, ask, text[-self._settings.most :]):
            raise self.refused()


class _RequestClassifier(_Classifier):
    async def on_request(self, ask: Ask) -> None:
        if not self.concerns(ask):
            return
        if ask.request is None:
            await self._check(ask, _texts(ask.payload))
        elif self._settings.prompts_only:
            await self._check(ask, ask.prompt)
        else:
            await self._check(ask, "\n".join(texts_of(ask.request)))


class _AnswerClassifier(_Classifier):
    unseen = "refuse"

    async def on_response(self, ask: Ask, response: Response) -> None:
        if self.concerns(ask):
            await self._check(ask, texts_of_answer(response))

    async def on_payload(self, ask: Ask, payload: Any) -> None:
        if self.concerns(ask):
            await self._check(ask, _texts(payload))


class _BothClassifier(_AnswerClassifier, _RequestClassifier):
    pass


def _texts(payload: Any) -> str:
    said: list[str] = []

    def take(text: str) -> str:
        said.append(text)
        return text

    edit_values(payload, take)
    return "\n".join(said)
