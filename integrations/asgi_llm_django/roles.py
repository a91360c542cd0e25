"""Roles by groups and permissions: what ``ASGI_LLM["roles"]`` names, for access rules, quotas and guards to go by."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from asgi_llm import ConfigError, Identity, Problem

__all__ = ["FLAGS", "granted", "load_roles"]

_GROUPS = "groups"
FLAGS = ("staff", "superuser")
"""Roles by the flags of a user, which no group gives by its name."""


def load_roles(named: Any) -> tuple[str, ...]:
    """``groups`` stands for the names of a user's groups; a permission (``shop.use_large_models``) is a role of that
    name for those who have it.

    Raises:
        ConfigError: with every one that is neither.
    """
    if isinstance(named, str) or not isinstance(named, Sequence):
        raise ConfigError([Problem("roles", f"must be a list, not {type(named).__name__}")])
    problems = [
        Problem(f"roles[{position}]", f"{one!r} is neither {_GROUPS} nor a permission, as in app.codename")
        for position, one in enumerate(named)
        if not (isinstance(one, str) and (one == _GROUPS or all(one.partition("."))))
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(dict.fromkeys(named))


def granted(identity: Identity, user: Any, named: Iterable[str]) -> Identity:
    """``identity``, which was made of ``user``, with the roles that are named. May ask the database."""
    if isinstance(user, Identity):
        return identity  # whoever made it has said what there is to say
    roles = [*identity.roles]
    for one in named:
        if one == _GROUPS:
            if (groups := getattr(user, "groups", None)) is not None:
                roles += groups.exclude(name__in=FLAGS).order_by("name").values_list("name", flat=True)
        elif hasattr(user, "has_perm") and user.has_perm(one):
            roles.append(one)
    return replace(identity, roles=tuple(dict.fromkeys(roles)))
