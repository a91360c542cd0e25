"""Settings of who may use what."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from asgi_llm.neutral.request import DialectName

from .values import Glob, Model

__all__ = ["AccessSettings", "CapSettings", "Feature", "Patterns", "RuleSettings"]

Feature = Literal[
    "stream",
    "tools",
    "hosted_tools",
    "images",
    "documents",
    "audio",
    "video",
    "reasoning",
    "structured_output",
    "state",
]
"""What a request can make use of. ``hosted_tools`` run at the provider, ``state`` is kept there."""


def _not_only_exceptions(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if any(pattern == "!" for pattern in patterns):
        raise ValueError('has a "!" without a glob behind it')
    return patterns


Patterns = Annotated[tuple[Glob, ...], AfterValidator(_not_only_exceptions)]
"""Globs; those behind a ``!`` are exceptions."""


class RuleSettings(Model):
    """Whatever all of ``endpoints``, ``dialects``, ``models``, ``targets`` and ``features`` that are given match is for
    some only: who has one of ``roles``, and none of ``not_roles``. All rules hold.

    Attributes:
        endpoints: names of endpoints, as in ``endpoints.disable``; and ``models``, the list of them.
        models: by the caller's name or the upstream's.
    """

    endpoints: Patterns = ()
    dialects: tuple[DialectName, ...] = ()
    models: Patterns = ()
    targets: Patterns = ()
    features: tuple[Feature, ...] = ()
    roles: tuple[str, ...] = ()
    not_roles: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _about_somebody(self) -> Self:
        if not (self.roles or self.not_roles):
            raise ValueError("give roles, not_roles or both: who may, and who may not")
        return self


class CapSettings(Model):
    """Answers have at most ``max_output`` tokens, reasoning included: for who has one of ``roles``, from ``models`` at
    ``targets``, where these are given. Of several caps the least counts."""

    max_output: Annotated[int, Field(ge=1)]
    roles: tuple[str, ...] = ()
    models: Patterns = ()
    targets: Patterns = ()


class AccessSettings(Model):
    """Who may use what; by default everybody who may call may use everything.

    Attributes:
        rules: what is for some only.
        caps: how long answers may be.
        users: what becomes of fields in which a body names a user (``user``, ``safety_identifier``,
            ``metadata.user_id``): they ``pass``, are ``removed``, are ``overwritten`` with a pseudonym of who really
            calls, or the request is ``refused`` unless they name that one.
    """

    rules: tuple[RuleSettings, ...] = ()
    caps: tuple[CapSettings, ...] = ()
    users: Literal["pass", "remove", "overwrite", "refuse"] = "pass"
