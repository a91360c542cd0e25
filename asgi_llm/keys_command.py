"""``asgi-llm keys create | list | revoke | rotate``: issuing keys into the store of the settings.

The text of a new key goes to standard output, alone on its line, and is written nowhere else.
"""

import argparse
import asyncio
import datetime as dt
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from asgi_llm.errors import ConfigError, Problem, StoreError
from asgi_llm.gateway import Gateway
from asgi_llm.keys.issue import NewKey
from asgi_llm.routing.catalog import compile_glob
from asgi_llm.source import METAVAR, gateway_of
from asgi_llm.stores.keys import IssuedKey

__all__ = ["add_keys"]

Say = Callable[[str], None]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_keys(commands: Any, say: Say, gateway: Callable[[], Gateway] | None = None) -> None:
    """Adds the command to a parser's ``commands``; ``say`` tells people what is not the answer itself. ``gateway`` is a
    host's; without it the command asks for a file."""
    keys = commands.add_parser("keys", help="issue API keys, list, revoke and rotate them")
    keys.set_defaults(run=lambda options: _run(options, say, gateway() if gateway else gateway_of(options.source)))
    actions = keys.add_subparsers(dest="action", required=True, metavar="create|list|revoke|rotate")

    create = actions.add_parser("create", help="make a key and show it, once")
    create.add_argument("--subject", required=True, type=_name, help="who calls with it")
    create.add_argument("--name", default="", help="what it is for, for people")
    create.add_argument("--role", action="append", default=[], help="can be given several times")
    for name in ("endpoint", "model", "target"):
        create.add_argument(f"--{name}", action="append", default=[], help="a glob; it is for these only")
    create.add_argument("--lifetime", type=_seconds, metavar="TIME", help="as in 90d, 12h; default: for ever")
    listing = actions.add_parser("list", help="the tenant's keys, the newest first")
    listing.add_argument("--subject")
    listing.add_argument("--json", action="store_true", help="for programs")
    revoke = actions.add_parser("revoke", help="stop a key")
    rotate = actions.add_parser("rotate", help="make a key in place of another, which works a while longer")
    rotate.add_argument("--overlap", type=_seconds, default=86400.0, metavar="TIME", help="default: 1d")
    for action in (create, listing, revoke, rotate):
        if gateway is None:
            action.add_argument("source", metavar=METAVAR)
        action.add_argument("--tenant", default="default", type=_name)
    for action in (revoke, rotate):
        action.add_argument("id", metavar="ID", help="as list shows it")


def _name(text: str) -> str:
    if 0 < len(text) < 256:
        return text
    raise argparse.ArgumentTypeError("must have from 1 to 255 characters")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError("must be a time, as in 90d, 12h, 30m or 45s")
    return float(match[1]) * _UNITS[match[2]]


def _run(options: argparse.Namespace, say: Say, gateway: Gateway) -> int:
    settings = gateway.settings
    if settings.auth.issued is None:
        raise ConfigError([Problem("auth.issued", "is not set, so that no keys are issued: add a table [auth.issued]")])
    if not settings.store.durable:
        raise ConfigError(
            [Problem("store.url", "keys must be kept somewhere: name a database, as in sqlite:///llm.db")]
        )
    actions = {"create": _create, "list": _list, "revoke": _revoke, "rotate": _rotate}
    return asyncio.run(_within(gateway, actions[options.action](gateway, options, say)))


async def _within(gateway: Gateway, work: Coroutine[Any, Any, int]) -> int:
    try:
        async with gateway.running():
            return await work
    except StoreError as error:
        raise StoreError(f"the store of the keys does not work: {error.reason}") from None


async def _create(gateway: Gateway, options: argparse.Namespace, say: Say) -> int:
    new = await gateway.keys.create(
        options.subject,
        tenant=options.tenant,
        name=options.name,
        roles=options.role,
        endpoints=options.endpoint,
        models=options.model,
        targets=options.target,
        lifetime=options.lifetime,
    )
    _warn("endpoint", options.endpoint, [endpoint.name for endpoint in gateway.asgi.table.served], say)
    _warn("target", options.target, list(gateway.settings.targets), say)
    return _show(new, say)


def _warn(noun: str, patterns: list[str], names: list[str], say: Say) -> None:
    """Of what opens nothing. What models there are, only upstreams know."""
    for pattern in patterns:
        if not any(map(compile_glob(pattern), names)):
            say(f'warning: no {noun} matches "{pattern}"; there are: {", ".join(names)}')


def _show(new: NewKey, say: Say) -> int:
    until = "" if new.key.expires is None else f", works until {_moment(new.key.expires)}"
    say(f"key {new.key.id} for {new.key.subject}{until}; it is shown only now")
    print(new.text)
    return 0


async def _list(gateway: Gateway, options: argparse.Namespace, say: Say) -> int:
    keys = await gateway.keys.list(options.tenant, options.subject)
    if options.json:
        told = [{name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"} for key in keys]
        print(msgspec.json.format(msgspec.json.encode(told)).decode())
        return 0
    now = dt.datetime.now(dt.UTC).timestamp()
    for key in keys:
        print("  ".join((key.id, _state(key, now), key.subject, *key.roles, key.name)).rstrip())
    if not keys:
        say(f"tenant {options.tenant} has no keys")
    return 0


def _state(key: IssuedKey, now: float) -> str:
    if key.revoked is not None:
        return "revoked"
    if not key.works(now):
        return "expired"
    used = "never used" if key.used is None else f"used {_moment(key.used)}"
    return used if key.expires is None else f"{used}, until {_moment(key.expires)}"


async def _revoke(gateway: Gateway, options: argparse.Namespace, say: Say) -> int:
    if not await gateway.keys.revoke(options.id, options.tenant):
        say(f"tenant {options.tenant} has no key {options.id} that works")
        return 1
    fresh = gateway.settings.auth.issued.fresh if gateway.settings.auth.issued else 0
    say(f"key {options.id} is revoked; running processes know within {fresh:g} seconds")
    return 0


async def _rotate(gateway: Gateway, options: argparse.Namespace, say: Say) -> int:
    new = await gateway.keys.rotate(options.id, options.tenant, overlap=options.overlap)
    if new is None:
        say(f"tenant {options.tenant} has no key {options.id} that works")
        return 1
    return _show(new, say)


def _moment(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")
