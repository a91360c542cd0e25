"""Which setting somebody may have meant who wrote one that is none."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

__all__ = ["meant", "models_of"]


def meant(model: type[BaseModel], path: Sequence[int | str]) -> str | None:
    """The setting beside the last of ``path``, which begins in ``model``, whose name is most like it."""
    models = [model]
    for part in path[:-1]:
        # Numbers and the keys of dicts, such as names of targets, lead to what is there already.
        fields = [each.model_fields[part] for each in models if isinstance(part, str) and part in each.model_fields]
        if fields:
            models = [found for field in fields for found in models_of(field.annotation)]
    names = {name for each in models for name in each.model_fields}
    return next(iter(get_close_matches(str(path[-1]), names, n=1, cutoff=0.7)), None)


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field of that type holds, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_of(argument)
