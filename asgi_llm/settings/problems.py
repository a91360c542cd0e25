"""Every mistake of a tree of settings, each with its path."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from asgi_llm.errors import Problem

from .spelling import meant
from .values import REFERENCE

__all__ = ["cross_check", "literal_secrets", "problems_of", "without_input"]


def literal_secrets(tree: Mapping[str, Any]) -> list[str]:
    """Paths of secrets written into ``tree`` (a dict as read from a file) instead of a reference to them."""
    return [
        path
        for path, value in _secret_fields(tree)
        if isinstance(value, str) and value and REFERENCE.match(value) is None
    ]


def _secret_fields(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, target in _items(tree.get("targets")):
        yield f"targets.{name}.api_key", target.get("api_key")
        keys = target.get("api_keys")
        for position, key in enumerate(keys if isinstance(keys, list | tuple) else ()):
            yield f"targets.{name}.api_keys[{position}]", key
        if isinstance(tls := target.get("tls"), Mapping):
            yield f"targets.{name}.tls.key", tls.get("key")
        for index, worker in enumerate(_maps(target.get("workers"))):
            yield f"targets.{name}.workers[{index}].api_key", worker.get("api_key")
            yield f"targets.{name}.workers[{index}].tls.key", _member(worker.get("tls"), "key")
    for place in ("store", "state", "cache"):
        url = _member(tree.get(place), "url")
        if isinstance(url, str) and "@" in url:  # only with a user can there be a password
            yield f"{place}.url", url
    yield "auth.issued.pepper", _member(_member(tree.get("auth"), "issued"), "pepper")
    for index, key in enumerate(_maps(_member(tree.get("auth"), "keys"))):
        yield f"auth.keys[{index}].key", key.get("key")
    keys = _member(tree.get("responses"), "encryption_keys")
    for index, value in enumerate(keys if isinstance(keys, list | tuple) else ()):
        yield f"responses.encryption_keys[{index}]", value


def without_input(error: ValidationError) -> ValidationError:
    """The same, with nothing of what was wrong in it: that may be a secret, or stand beside one."""
    return ValidationError.from_exception_data(error.title, [_told(**item) for item in error.errors(include_url=False)])


def _told(
    *,
    type: str,  # noqa: A002  # pydantic's name
    msg: str,
    loc: tuple[int | str, ...],
    ctx: Mapping[str, Any] | None = None,
    **_more: Any,
) -> InitErrorDetails:
    if loc[:1] == ("guards",):
        type, msg, loc = _about_guard(type, msg, loc, ctx or {})  # noqa: A001  # as above
    return {"type": PydanticCustomError(type, "{said}", {"said": msg}), "loc": loc, "input": "..."}


def _about_guard(
    kind: str, message: str, loc: tuple[int | str, ...], context: Mapping[str, Any]
) -> tuple[str, str, tuple[int | str, ...]]:
    """Behind the number of a guard pydantic names its kind, which is no key there; and what ``kind`` may be, it calls
    tags of the guard as a whole."""
    if kind == "union_tag_invalid":
        return "literal_error", f"Input should be one of {context['expected_tags']}", (*loc, "kind")
    if kind == "union_tag_not_found":
        return "missing", "Field required", (*loc, "kind")
    return kind, message, (*loc[:2], *loc[3:])


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """What is wrong with a tree that was to be a ``model``."""
    # A pydantic message may quote the input, which may be a secret: only the message's own words are taken.
    items = error.errors(include_input=False, include_url=False)
    return [_problem(item["loc"], item["type"], item["msg"], model) for item in items]


def _problem(loc: tuple[int | str, ...], kind: str, message: str, model: type[BaseModel]) -> Problem:
    if kind != "extra_forbidden":
        return Problem(_path(loc), "is required" if kind == "missing" else message.removeprefix("Value error, "))
    near = meant(model, loc)
    return Problem(_path(loc), "is not a setting" + (f'; did you mean "{near}"?' if near else ""))


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


def cross_check(tree: Mapping[str, Any]) -> list[Problem]:
    """What no single field can know: names that must exist. Works on a tree with mistakes in it, too."""
    targets = tree.get("targets")
    names = set(targets) if isinstance(targets, Mapping) else set()
    return _repeated(tree) + [
        Problem(path, f'there is no target "{name}"' + (f"; there are: {', '.join(sorted(names))}" if names else ""))
        for path, name in _references(tree)
        if isinstance(name, str) and name not in names
    ]


def _repeated(tree: Mapping[str, Any]) -> list[Problem]:
    """Quotas are told apart by their names."""
    names = [quota.get("name") for quota in _maps(tree.get("quotas"))]
    return [
        Problem(f"quotas[{index}].name", f'there is another quota "{name}"')
        for index, name in enumerate(names)
        if isinstance(name, str) and name in names[:index]
    ]


def _references(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if tree.get("default_target") is not None:
        yield "default_target", tree["default_target"]
    for index, route in enumerate(_maps(tree.get("routes"))):
        yield f"routes[{index}].target", route.get("target")
        legs = route.get("fallback")
        for position, leg in enumerate(legs if isinstance(legs, list | tuple) else ()):
            path = f"routes[{index}].fallback[{position}]"
            if isinstance(leg, Mapping):
                yield f"{path}.target", leg.get("target")
            else:
                yield path, leg
    for index, guard in enumerate(_maps(tree.get("guards"))):
        if guard.get("kind") == "classifier" and "target" in guard:
            yield f"guards[{index}].target", guard["target"]
    if (keeps := _member(tree.get("responses"), "conversations")) is not None:
        yield "responses.conversations", keeps
    discounts, byok = _member(tree.get("prices"), "discounts"), _member(tree.get("prices"), "byok")
    for name in discounts if isinstance(discounts, Mapping) else ():
        yield f"prices.discounts.{name}", name
    for position, name in enumerate(byok if isinstance(byok, list | tuple) else ()):
        yield f"prices.byok[{position}]", name


def _items(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping):
        return []
    return [(str(name), item) for name, item in value.items() if isinstance(item, Mapping)]


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
