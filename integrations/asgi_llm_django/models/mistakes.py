"""What pydantic says of a row, as Django's forms say it."""

import pydantic
from django.core.exceptions import NON_FIELD_ERRORS

__all__ = ["by_field"]


def by_field(error: pydantic.ValidationError, *, below: str = "") -> dict[str, list[str]]:
    """The mistakes, each under its field; those in the field ``below`` under what they are in there."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        place = [str(part) for part in item["loc"]]
        if below and place[:1] == [below]:
            place = place[1:]
        words = ": ".join([*place[1:], item["msg"].removeprefix("Value error, ")])
        found.setdefault(place[0] if place else NON_FIELD_ERRORS, []).append(words)
    return found
