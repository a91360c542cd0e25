"""Settings of guards: what requests and answers must pass, whatever dialect they are in."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .values import Glob, Model, Name, Seconds

__all__ = [
    "ClassifierGuardSettings",
    "GuardSettings",
    "LimitGuardSettings",
    "PatternGuardSettings",
    "PatternSettings",
    "PersonalGuardSettings",
    "PersonalKind",
    "TemplateGuardSettings",
]

PersonalKind = Literal["email", "phone", "card", "iban", "ip"]


def _regex(value: str) -> str:
    try:
        compiled = re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if compiled.match(""):
        raise ValueError("matches the empty text, and so everything")
    return value


Regex = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_regex)]
Window = Annotated[int, Field(ge=1, le=65536)]


class _Guard(Model):
    """What all guards have.

    Attributes:
        name: in the log, and told to callers who are refused.
        models: globs of the models that it is about; empty for all. So are ``endpoints`` (by their names),
            ``tenants`` and ``roles``; who has one of ``not_roles`` passes.
        timeout: seconds that one look may take.
        on_failure: what becomes of a request when the guard itself fails: it passes (``open``) or not (``closed``).
        message: told to callers who are refused; a sentence that names the guard by default.
        code: the error's code.
    """

    name: Name
    models: tuple[Glob, ...] = ()
    endpoints: tuple[Glob, ...] = ()
    tenants: tuple[Glob, ...] = ()
    roles: tuple[str, ...] = ()
    not_roles: tuple[str, ...] = ()
    timeout: Seconds = 10
    on_failure: Literal["open", "closed"] = "closed"
    message: Annotated[str, Field(max_length=1000)] | None = None
    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = "blocked_by_guard"


class PatternSettings(Model):
    """``action``: what matches ``pattern`` is replaced by ``replacement`` (``redact``), or all of it is refused
    (``block``)."""

    pattern: Regex
    action: Literal["redact", "block"] = "redact"
    replacement: str = "[removed]"
    ignore_case: bool = False


class PatternGuardSettings(_Guard):
    """Regular expressions. Whole texts are looked at, arguments of tools with their escapes undone.

    Attributes:
        requests, answers: which of both it looks at.
        window: characters of a stream that wait, so that a match is found that comes in pieces. Longer matches may be
            found in part only.
    """

    kind: Literal["patterns"]
    rules: tuple[PatternSettings, ...]
    requests: bool = True
    answers: bool = True
    window: Window = 256

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not self.rules:
            raise ValueError("has no rules")
        return self


class PersonalGuardSettings(_Guard):
    """Personal data, found by the libraries phonenumbers and python-stdnum (extra ``pii``).

    Attributes:
        find: which kinds.
        region: two letters: the country of telephone numbers that name none.
        replacement: ``{kind}`` stands for what was found.
    """

    kind: Literal["personal_data"]
    find: tuple[PersonalKind, ...] = ("email", "phone", "card", "iban")
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "US"
    action: Literal["redact", "block"] = "redact"
    replacement: str = "[{kind}]"
    requests: bool = True
    answers: bool = True
    window: Window = 128


class TemplateGuardSettings(_Guard):
    """Words around every conversation. ``{subject}``, ``{tenant}``, ``{model}`` and ``{date}`` are filled in.

    Attributes:
        prefix: instructions before the caller's.
        suffix: instructions after them.
        replace: the caller's own instructions are left out.
    """

    kind: Literal["template"]
    prefix: str = ""
    suffix: str = ""
    replace: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.prefix or self.suffix or self.replace):
            raise ValueError("give prefix, suffix or replace: it does nothing")
        return self


class LimitGuardSettings(_Guard):
    """How much a conversation may hold; what is None is not limited.

    Attributes:
        max_turns: messages, instructions included.
        max_text: characters of one message.
        max_total: characters of all of them.
        max_tools: tools that are offered.
    """

    kind: Literal["limits"]
    max_turns: Annotated[int, Field(ge=1)] | None = None
    max_text: Annotated[int, Field(ge=1)] | None = None
    max_total: Annotated[int, Field(ge=1)] | None = None
    max_tools: Annotated[int, Field(ge=0)] | None = None


class ClassifierGuardSettings(_Guard):
    """A model's opinion.

    Attributes:
        target: who is asked.
        model: its model.
        protocol: by the endpoint ``moderations``, or in a chat.
        instructions: of a chat; the text follows as the user's.
        blocks: regular expression; an answer of a chat in which it is found means no.
        prompts_only: of a request, only what the user said last is judged; else all of the conversation.
        most: characters of a text that are judged, from its end; what is longer is judged by those.
    """

    kind: Literal["classifier"]
    target: str
    model: Annotated[str, Field(min_length=1)]
    protocol: Literal["moderations", "chat"] = "moderations"
    instructions: str = "Answer with one word: safe or unsafe."
    blocks: Regex = r"(?i)\bunsafe\b"
    prompts_only: bool = True
    requests: bool = True
    answers: bool = False
    most: Annotated[int, Field(ge=1)] = 100_000


GuardSettings = Annotated[
    PatternGuardSettings | PersonalGuardSettings | TemplateGuardSettings | LimitGuardSettings | ClassifierGuardSettings,
    Field(discriminator="kind"),
]
